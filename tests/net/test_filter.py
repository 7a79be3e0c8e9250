"""Which layers a phase, level and stages select, case by case as in Caffe's test_net.cpp (FilterNetTest)."""

from __future__ import annotations

import logging

import pytest

from caffe_port.errors import NetError
from caffe_port.net.filter import filter_net, net_state, phase_number
from caffe_port.proto import pb
from tests.net.make import build, inputs, layer, parse


def kept(rules: str, phase: str = "TEST", level: int = 0, stages: tuple[str, ...] = ()) -> bool:
    """Whether a layer with these rules stays."""
    net = parse(layer("ReLU", "always", "x", "y") + layer("ReLU", "asked", "y", "z", rules))
    names = [found.name for found in filter_net(net, net_state(phase, level, stages)).layer]
    assert names[0] == "always"
    return "asked" in names


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("", {"TRAIN": True, "TEST": True}),
        ("include { phase: TRAIN }", {"TRAIN": True, "TEST": False}),
        ("include { phase: TEST }", {"TRAIN": False, "TEST": True}),
        ("exclude { phase: TRAIN }", {"TRAIN": False, "TEST": True}),
        ("include { phase: TRAIN } include { phase: TEST }", {"TRAIN": True, "TEST": True}),
        ("exclude { phase: TRAIN } exclude { phase: TEST }", {"TRAIN": False, "TEST": False}),
        ("include { }", {"TRAIN": True, "TEST": True}),
        ("exclude { }", {"TRAIN": False, "TEST": False}),
        ("phase: TRAIN", {"TRAIN": True, "TEST": True}),  # a layer's own phase selects nothing
    ],
)
def test_phase(rules, expected):
    assert {phase: kept(rules, phase) for phase in expected} == expected


@pytest.mark.parametrize(
    ("rules", "levels"),
    [
        ("include { min_level: 2 }", {2, 3}),
        ("include { max_level: 1 }", {-1, 0, 1}),
        ("include { min_level: 0 max_level: 2 }", {0, 1, 2}),
        ("exclude { min_level: 2 }", {-1, 0, 1}),
        ("exclude { max_level: 0 }", {1, 2, 3}),
        ("include { min_level: 3 } include { max_level: -1 }", {-1, 3}),
    ],
)
def test_level(rules, levels):
    assert {level for level in range(-1, 4) if kept(rules, level=level)} == levels


STAGES = [(), ("a",), ("b",), ("a", "b"), ("c", "a")]


@pytest.mark.parametrize(
    ("rules", "selected"),
    [
        ('include { stage: "a" }', [("a",), ("a", "b"), ("c", "a")]),
        ('include { stage: "a" stage: "b" }', [("a", "b")]),  # both
        ('include { stage: "a" } include { stage: "b" }', [("a",), ("b",), ("a", "b"), ("c", "a")]),  # either
        ('include { not_stage: "a" }', [(), ("b",)]),
        ('include { stage: "a" not_stage: "b" }', [("a",), ("c", "a")]),
        ('exclude { stage: "a" }', [(), ("b",)]),
        ('exclude { not_stage: "a" not_stage: "b" }', [("a",), ("b",), ("a", "b"), ("c", "a")]),
    ],
)
def test_stage(rules, selected):
    assert [stages for stages in STAGES if kept(rules, stages=stages)] == selected


def test_all_conditions_of_a_rule_must_hold():
    rule = 'include { phase: TRAIN min_level: 1 stage: "a" }'
    assert kept(rule, "TRAIN", 1, ("a",))
    assert not kept(rule, "TEST", 1, ("a",))
    assert not kept(rule, "TRAIN", 0, ("a",))
    assert not kept(rule, "TRAIN", 1, ("b",))


def test_both_kinds_of_rules_are_an_error():
    with pytest.raises(NetError, match=r"layer 'asked' \(ReLU\): Specify either include rules or exclude rules"):
        kept("include { phase: TRAIN } exclude { phase: TEST }")


def test_the_log_says_which_condition_failed(caplog):
    with caplog.at_level(logging.INFO, "caffe_port"):
        kept("include { phase: TRAIN }")
        kept("include { min_level: 3 }")
        kept('include { stage: "s" }')
    text = caplog.text
    assert "The NetState phase (1) differed from the phase (0) specified by a rule in layer asked" in text
    assert "level (0) is below the min_level (3)" in text
    assert "did not contain stage 's'" in text


def test_the_given_net_is_left_alone_and_the_state_recorded():
    net = parse(layer("ReLU", "a", "x", "y", "include { phase: TRAIN }"))
    before = net.SerializeToString()
    filtered = filter_net(net, net_state("TEST", 2, ["s"]))
    assert net.SerializeToString() == before
    assert (filtered.state.phase, filtered.state.level, list(filtered.state.stage)) == (pb.TEST, 2, ["s"])


@pytest.mark.parametrize(("level", "stages"), [("1", ()), (1.5, ()), (None, ()), (0, "deep")])
def test_wrong_level_and_stages(level, stages):
    with pytest.raises(NetError, match=r"level is|Give a list: stages="):
        net_state("TEST", level, stages)


def test_net_filters():
    text = inputs(data=(2, 3)) + layer("ReLU", "r", "data", "r", 'include { stage: "deep" min_level: 1 }')
    assert build(text).outputs == ["data"]
    assert build(text, level=1, stages=["deep"]).outputs == ["r"]


@pytest.mark.parametrize("phase", ["TRAIN", "train", pb.TRAIN, 0])
def test_spellings_of_a_phase(phase):
    assert phase_number(phase) == pb.TRAIN


@pytest.mark.parametrize("phase", ["", "DEPLOY", 2, -1, None, 0.5, [], "weights.caffemodel"])
def test_unknown_phase(phase):
    with pytest.raises(NetError, match="Use TRAIN or TEST"):
        phase_number(phase)
