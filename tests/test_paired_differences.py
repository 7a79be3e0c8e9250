"""Paired differences of two arms, from the folder of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_port.errors import CaffeError
from caffe_port.study.folder import RunFolder
from caffe_port.study.interfaces.errors import MEASURES
from tests.shared import tool


def write_run(folder, errors):
    """A run whose arms have these errors by region, six regions of three exams."""
    (folder / "cases.csv").write_text(
        "case,patient,split,label\n" + "".join(f"r{i},e{i // 2},test,\n" for i in range(6))
    )
    arms = {
        arm: {measure: {"per_roi": {f"r{i}": value for i, value in enumerate(values)}} for measure in MEASURES}
        for arm, values in errors.items()
    }
    (folder / "metrics.json").write_text(json.dumps({"arms": arms}))
    return RunFolder(folder)


def test_subsets_are_averaged_before_exams_are_drawn(tmp_path, capsys):
    random = np.random.default_rng(0)
    whole, first, second, *third = random.uniform(0, 1, (4, 6))
    shift = np.repeat([0.1, 0.2, 0.6], 2)
    errors = {"a": whole + 0.5, "b": whole, "a@0.1": first, "b@0.1": first + shift, "a@0.1~2": second}
    errors |= {"b@0.1~2": second - shift / 2, "c": third[0]}
    tool("paired_differences").compare(write_run(tmp_path, errors), "a", "b", 4000)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == 6
    assert all("+0.5000 [+0.5000, +0.5000]" in line and "0 of 1" in line for line in lines[:3])
    for line in lines[3:]:  # of three exams, each is drawn alone (1/27) more often than in 2.5 % of the resamples
        assert line.split()[0] == "0.1"
        assert "-0.0750 [-0.1500, -0.0250]" in line
        assert line.endswith("6 regions, better in 1 of 2 subsets")


def test_arms_without_a_common_training_set_are_refused(tmp_path):
    with pytest.raises(CaffeError, match="both a and b"):
        tool("paired_differences").compare(write_run(tmp_path, {"a": [1] * 6, "b@0.1": [1] * 6}), "a", "b", 100)
