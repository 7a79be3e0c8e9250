"""Every layer against real Caffe: forward, every diff, and running statistics, through the pycaffe interface."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_port import pycaffe as caffe
from tests.reference.compare import assert_equal
from tests.shared import ORACLE

FOLDER = ORACLE / "layers"
CASES = json.loads((FOLDER / "index.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_layer_equals_real_caffe(case):
    recorded = np.load(FOLDER / f"{case['id']}.npz")
    caffe.set_random_seed(1)
    net = caffe.Net(str(FOLDER / f"{case['id']}.prototxt"), phase=case["phase"])
    groups = {}
    for key in recorded.files:
        kind, _, name = key.partition("/")
        groups.setdefault(kind, {})[name] = recorded[key]
    for name, value in groups.get("param", {}).items():
        layer, _, index = name.rpartition("/")
        net.params[layer][int(index)].data[...] = value
    for name, value in groups.get("input", {}).items():
        net.blobs[name].data[...] = value
    net.forward()
    for name, value in groups.get("blob", {}).items():
        assert_equal(f"blob {name}", net.blobs[name].data, value)
    for name, value in groups.get("param_after", {}).items():
        layer, _, index = name.rpartition("/")
        assert_equal(f"param {name} after forward", net.params[layer][int(index)].data, value)
    if not case["backward"]:
        return
    net.clear_param_diffs()
    for name, value in groups.get("top_diff", {}).items():
        net.blobs[name].diff[...] = value
    net.backward()
    for name, value in groups.get("diff", {}).items():
        assert_equal(f"diff of {name}", net.blobs[name].diff, value)
    scale = max((np.abs(value).max() for value in groups.get("top_diff", {}).values()), default=0.0)
    for name, value in groups.get("param_diff", {}).items():
        layer, _, index = name.rpartition("/")
        assert_equal(f"diff of param {name}", net.params[layer][int(index)].diff, value, scale=scale)
