"""Names of arms as they stand in metrics.json, and as the paper's figures print them."""

from __future__ import annotations

import pytest

from caffe_port.study.arms import Arm
from caffe_port.study.report.names import Variant, styles


@pytest.mark.parametrize(
    ("name", "title", "whole"),
    [
        ("conv1-fc8", "FT: conv1-fc8", True),
        ("fc8", "FT: only fc8", True),
        ("scratch", "scratch", True),
        ("scratch+xavier", "scratch (xavier)", False),
        ("conv1-fc8@0.05", "FT: conv1-fc8, 0.05 of the training set", False),
        ("scratch+msra@0.1~3", "scratch (msra), 0.1 of the training set, draw 3", False),
        ("handcrafted", "handcrafted", True),
    ],
)
def test_variant(name, title, whole):
    variant = Variant.parse(name)
    assert (variant.name, variant.title, variant.whole) == (name, title, whole)


def test_no_two_variants_look_alike():
    names = ["conv1-fc8", "conv2-fc8", "fc8", "scratch", "scratch+xavier", "scratch+msra", "fc8@0.1", "handcrafted"]
    looks = styles([Variant.parse(name) for name in names])
    assert sorted(looks) == sorted(names)
    assert len({(str(style.color), str(style.dashes)) for style in looks.values()}) == len(names)


@pytest.mark.parametrize("arm", [Arm("conv1-ip1"), Arm("scratch", "msra", 0.05, 3), Arm("ip1", fraction=0.1, draw=2)])
def test_names_are_read_as_the_study_writes_them(arm):
    read = Variant.parse(arm.name)
    assert (read.arm, read.init or "gaussian") == (arm.depth, arm.init)
    assert (float(read.fraction or 1), int(read.draw or 1)) == (arm.fraction, arm.draw)
