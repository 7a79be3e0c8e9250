"""The application on procedural walls: from a folder to errors in mm, with a net that is really trained."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from caffe_port import Net
from caffe_port.errors import StudyError
from caffe_port.study.base import open_base
from caffe_port.study.interfaces import APPLICATION, handcrafted
from caffe_port.study.interfaces.confidence import confidence_maps
from caffe_port.study.interfaces.errors import errors_of, measures_of
from caffe_port.study.interfaces.patches import cut_patch, enlarged, scale_of, to_scale
from caffe_port.study.run import Study
from caffe_port.study.settings import ArmChoice, Data, Settings, Training
from tests.study.interfaces.phantoms import cyprus_folder, region

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 17 dim: 17 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    root = tmp_path_factory.mktemp("study")
    cyprus_folder(root / "data", ["a", "a", "b", "c", "d", "e", "f", "g"])
    (root / "net.prototxt").write_text(NET)
    Net(root / "net.prototxt", seed=1).save(root / "net.caffemodel")
    base = open_base(str(root / "net.prototxt"), str(root / "net.caffemodel"), mean="60", scale=0.02)
    app = {**APPLICATION.defaults, "patch_px": 17, "patches_per_interface": 60, "margin_mm": 0.9, "plate": 20.0}
    data = Data(str(root / "data"), dataset=APPLICATION.detect(root / "data"))
    training = Training(base_lr=0.01, batch_size=32, epochs=8)
    return Settings("interfaces", 1, data, base, ArmChoice(("conv1-ip1", "ip1"), "patient"), training, app)


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    study = Study.open(folder, settings)
    study.prepare()
    study.train()
    study.evaluate()
    return folder


def test_errors_are_vertical_distances_in_mm():
    r = region(0, mm=0.1)
    expert = r.traces.both()
    row = errors_of(r, expert + np.array([[2.0], [-1.0]]))
    assert row["li_error_mm"] == pytest.approx(0.2)
    assert row["ma_error_mm"] == pytest.approx(0.1)
    assert row["imt_mm"] == pytest.approx(row["expert_imt_mm"] - 0.3)
    assert row["imt_error_mm"] == pytest.approx(0.3)
    wavy = np.where(np.arange(expert.shape[1]) % 2, 1.0, -1.0)[: expert.shape[1] // 2 * 2]
    r = replace(r, traces=replace(r.traces, li=r.traces.li[: len(wavy)], ma=r.traces.ma[: len(wavy)]))
    row = errors_of(r, r.traces.both() + wavy)
    assert row["li_error_mm"] == pytest.approx(0.1)
    assert row["imt_error_mm"] == pytest.approx(0, abs=1e-9)


def test_measures_are_over_regions():
    rows = [
        {"roi": name, "li_error_mm": x, "ma_error_mm": 2 * x, "imt_error_mm": 0.0} for name, x in [("a", 1), ("b", 3)]
    ]
    found = measures_of(rows)
    assert found["lumen_intima_error_mm"] == {"mean": 2, "sd": pytest.approx(2**0.5), "per_roi": {"a": 1, "b": 3}}
    assert found["media_adventitia_error_mm"]["mean"] == 4


def test_a_trained_net_finds_the_interfaces(run):
    metrics = json.loads((run / "metrics.json").read_text())
    deep = metrics["arms"]["conv1-ip1"]
    assert deep["lumen_intima_error_mm"]["mean"] < 0.1
    assert deep["media_adventitia_error_mm"]["mean"] < 0.1
    assert deep["imt_error_mm"]["mean"] < 0.1
    with (run / "arms" / "conv1-ip1" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["roi"]: float(row["imt_error_mm"]) for row in rows} == deep["imt_error_mm"]["per_roi"]
    assert all(0.4 < float(row["imt_mm"]) < 0.9 for row in rows)


def test_the_handcrafted_competitor_finds_them_too(run):
    found = json.loads((run / "metrics.json").read_text())["handcrafted"]
    assert found["lumen_intima_error_mm"]["mean"] < 0.15
    assert found["media_adventitia_error_mm"]["mean"] < 0.15


def test_pictures_show_five_panels(run):
    paths = sorted((run / "arms" / "conv1-ip1" / "pictures").glob("*.png"))
    assert paths
    picture = cv2.imread(str(paths[0]))
    green = (picture[..., 1] > 200) & (picture[..., 0] < 60) & (picture[..., 2] < 60)
    bands = np.flatnonzero(np.diff(np.r_[0, green.any(axis=1), 0]))
    assert len(bands) // 2 >= 3  # thin boundaries, snakes and traces of LI, each in its panel


def test_offsets_are_those_by_which_edges_lie_off_the_traces():
    """Traces that are moved down by 3 pixels find every edge 3 pixels higher."""
    regions = [region(seed) for seed in range(5)]
    moved = [replace(r, traces=replace(r.traces, li=r.traces.li + 3, ma=r.traces.ma + 3)) for r in regions]
    settings = APPLICATION.defaults
    difference = handcrafted.offsets_mm(regions, settings) - handcrafted.offsets_mm(moved, settings)
    np.testing.assert_allclose(difference, 3 * 0.06, atol=1e-6)


def test_edges_of_a_clean_step_lie_on_it():
    r = region(0)
    y = np.arange(len(r.image))[:, None]
    li, ma = np.full(160, 50.0), np.full(160, 62.0)
    image = 60.0 * (y >= li) * (y < li + 4) + 20.0 * (y >= li + 4) * (y < ma) + 180.0 * (y >= ma)
    traces = replace(r.traces, li=li[20:-20], ma=ma[20:-20])
    clean = replace(r, image=image.astype(np.uint8), traces=traces, top=30, bottom=90)
    found = handcrafted.interfaces(clean, APPLICATION.defaults)
    np.testing.assert_allclose(found, traces.both() - 0.5, atol=0.8)


@pytest.mark.parametrize(("patch_px", "mm_per_px"), [(17, 0.0), (12, 0.0), (25, 0.0), (8, 0.0), (17, 0.045)])
def test_confidence_is_what_the_net_says_of_the_patch_around_each_pixel(settings, patch_px, mm_per_px):
    """Also where patches are made larger or smaller: up to the interpolation between places."""
    app = {**settings.app, "patch_px": patch_px, "mm_per_px": mm_per_px}
    changed = replace(settings, app=app)
    net, r = Net(settings.base.net, settings.base.weights), region(3)
    maps = confidence_maps(net, r, changed)
    assert maps.shape == (2, len(r.rows), len(r.columns))
    scale = scale_of(r, app, 17)
    image = enlarged(r.image, scale)
    places = [(i, j) for i in range(0, len(r.rows), 9) for j in range(0, len(r.columns), 17)]
    patches = [
        cut_patch(image, *(float(to_scale(np.array(axis[k]), scale)) for axis, k in ((r.columns, j), (r.rows, i))), 17)
        for i, j in places
    ]
    with torch.no_grad():
        expected = net(data=settings.base.preprocess(patches))["prob"][:, 1:].numpy()
    error = np.abs(expected - np.array([maps[:, i, j] for i, j in places]))
    if scale == 1:
        assert error.max() < 1e-5
    else:
        assert np.median(error) < 0.01


def test_patches_need_a_square_base(settings):
    wide = replace(settings, base=replace(settings.base, size=(17, 19)))
    cases = APPLICATION.datasets["cyprus"](Path(settings.data.train))
    with pytest.raises(StudyError, match="square"):
        next(APPLICATION.patches(cases, wide, 1, lambda done, total: None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("stretch", [1.4, 0.7]), ("path", "shortest"), ("patch_px", 0), ("least_mm", 3.0), ("margin_mm", -1.0)],
)
def test_settings_out_of_range_are_refused(settings, name, value):
    cases = APPLICATION.datasets["cyprus"](Path(settings.data.train))
    wrong = replace(settings, app={**settings.app, name: value})
    with pytest.raises(StudyError, match=f"app.{name}"):
        next(APPLICATION.patches(cases, wrong, 1, lambda done, total: None))
