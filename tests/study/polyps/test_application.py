"""The application on discs: patches, scores of a net whose answer is known, and from a folder to an FROC."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import caffe_port
from caffe_port import rng
from caffe_port.errors import StudyError
from caffe_port.study.base import open_base
from caffe_port.study.cases import Candidate, Case, Detection
from caffe_port.study.folder import read_table
from caffe_port.study.polyps import APPLICATION
from caffe_port.study.polyps.pictures import telling
from caffe_port.study.run import Study
from caffe_port.study.settings import ArmChoice, Data, Settings, Training
from tests.study.polyps.discs import write_videos
from tests.study.polyps.test_detector import SETTINGS, silent

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
MEAN_NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "mean" top: "ip1" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


def settings_for(folder: Path, net: str, **app: object) -> Settings:
    path = folder / "net.prototxt"
    path.write_text(net)
    base = open_base(str(path), None, mean="100", scale=0.02)
    data = Data(str(folder / "train"), str(folder / "test"), "masks")
    training = Training(base_lr=0.01, batch_size=32, epochs=4, patience=4, validation=0.3, patches=1600)
    values = {**APPLICATION.defaults, **SETTINGS, **app}
    return Settings("polyps", 1, data, base, ArmChoice(("scratch",), "patient"), training, values)


@pytest.fixture
def settings(tmp_path) -> Settings:
    return settings_for(tmp_path, MEAN_NET)


@pytest.fixture
def net(settings) -> caffe_port.Net:
    """Says "polyp" with probability 1 / (1 + exp(-(mean of blue - 100) * 0.02))."""
    net = caffe_port.Net(settings.base.net, phase="TEST")
    weight, bias = net.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
        bias.zero_()
    return net


@pytest.fixture
def make_case(tmp_path):
    """Frames of noise over a slope of blue, with candidates (id, box, lesion)."""

    def make(name: str, *candidates: tuple[str, list[float], str], lesions: tuple[str, ...] = ()) -> Case:
        image = rng.numpy_generator("noise", name).integers(0, 100, (60, 80, 3), np.uint8)
        image[..., 0] += np.arange(80, dtype=np.uint8)
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), image)
        info = {"path": str(path), "mask": None, "size": [80, 60], "polyps": []}
        made = tuple(Candidate(id_, 0.1 * n, lesion, {"box": box}) for n, (id_, box, lesion) in enumerate(candidates))
        return Case(name, name[0], None, info, lesions, made)

    return make


def test_it_is_an_application_of_detection():
    assert isinstance(APPLICATION, Detection)
    assert APPLICATION.operating_points == (0.001, 0.01)


def test_patches_carry_the_label_of_their_candidate(settings, make_case):
    hit, miss = ("x=20,y=20", [10.0, 10.0, 20.0, 20.0], "a/1"), ("x=60,y=40", [50.0, 30.0, 12.0, 20.0], "")
    cases = [make_case("a1", hit, miss, lesions=("a/1",)), make_case("b1"), make_case("b2", miss)]
    patches = list(APPLICATION.patches(cases, settings, 1, silent))
    told = [(patch.case, patch.patient, patch.candidate, patch.label) for patch in patches]
    expected = [("a1", "a", "x=20,y=20", 1), ("a1", "a", "x=60,y=40", 0), ("b2", "b", "x=60,y=40", 0)]
    assert told == [one for one in expected for _ in range(120)]
    image = patches[0].image()
    frame = cv2.imread(cases[0].info["path"])
    np.testing.assert_array_equal(image, cv2.resize(frame[10:30, 10:30], (12, 12), interpolation=cv2.INTER_AREA))


def test_no_frame_is_read_before_a_patch_is_kept(settings, make_case):
    case = make_case("a1", ("x=20,y=20", [10.0, 10.0, 20.0, 20.0], ""))
    Path(case.info["path"]).unlink()
    assert len(list(APPLICATION.patches([case], settings, 1, silent))) == 120


@pytest.mark.parametrize(("augment", "count"), [(True, 120), (False, 1)])
def test_the_score_is_the_mean_probability_over_all_patches(settings, net, make_case, augment, count):
    settings = settings.changed("app.augment_test", augment)
    boxes = [("x=20,y=20", [10.0, 10.0, 20.0, 20.0], ""), ("x=60,y=40", [50.0, 30.0, 12.0, 20.0], "a/1")]
    case = make_case("a1", *boxes, lesions=("a/1",))
    images = [patch.image() for patch in APPLICATION.patches([case], settings, 1, silent)]
    blue = np.array([image[..., 0].mean() for image in images]).reshape(2, 120)[:, :count]
    rows = APPLICATION.score(net, [make_case("b1"), case], settings, silent)
    assert [(row["case"], row["candidate"], row["lesion"]) for row in rows] == [
        ("a1", "x=20,y=20", ""),
        ("a1", "x=60,y=40", "a/1"),
    ]
    expected = (1 / (1 + np.exp(-(blue - 100) * 0.02))).mean(axis=1)
    np.testing.assert_allclose([float(row["score"]) for row in rows], expected, atol=1e-5)


def test_the_handcrafted_rows_are_the_detectors_scores(settings, make_case):
    boxes = [(f"x={n},y=0", [0.0, 0.0, 9.0, 9.0], "") for n in range(3)]
    cases = [make_case("a1", *boxes), make_case("b1"), make_case("b2", boxes[0])]
    rows = APPLICATION.handcrafted([], cases, settings, silent)
    assert [row["case"] for row in rows] == ["a1", "a1", "a1", "b2"]
    assert [row["score"] for row in rows] == pytest.approx([0.0, 0.1, 0.2, 0.0])


def test_metrics_count_polyps_and_frames(settings, make_case):
    box = [0.0, 0.0, 9.0, 9.0]
    cases = [
        make_case("a1", ("x=1,y=1", box, "a/1"), ("x=2,y=2", box, ""), lesions=("a/1", "a/2")),
        make_case("a2", ("x=1,y=1", box, "a/1"), lesions=("a/1",)),
        make_case("b1", ("x=3,y=3", box, "")),
        make_case("b2"),
    ]
    rows = APPLICATION.handcrafted([], cases, settings, silent)
    for row, score in zip(rows, [0.3, 0.5, 0.9, 0.4], strict=True):
        row["score"] = score
    metrics = APPLICATION.metrics(rows, cases, settings)
    assert metrics["counts"] == {"units": 4, "patients": 2, "lesions": 2, "found": 1, "false_positives": 2}
    curve = dict(zip(metrics["froc"]["fp"], metrics["froc"]["sensitivity"], strict=True))
    assert curve[0.0] == pytest.approx(0.5)  # 0.9 is above every false positive
    assert set(metrics["sensitivity_at_fp"]) == {"0.001", "0.01"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 10),
        ("width", 10**6),
        ("trees", 10**7),
        ("scales", [-1.0]),
        ("scales", [1.0, "a"]),
        ("scales", [1000.0]),
        ("shift", -0.1),
        ("shift", 1e9),
        ("candidates", 0),
        ("boundary_pixels", 1),
        ("edge_pixels", 0),
    ],
)
def test_settings_out_of_range_are_refused(settings, make_case, name, value):
    wrong = replace(settings, app={**settings.app, name: value})
    with pytest.raises(StudyError, match=f"app.{name}"):
        APPLICATION.candidates([], [make_case("a1")], wrong, silent)


def test_a_base_that_is_not_square_is_refused(settings, make_case):
    oblong = replace(settings, base=replace(settings.base, size=(12, 10)))
    with pytest.raises(StudyError, match="square"):
        list(APPLICATION.patches([make_case("a1")], oblong, 1, silent))


def test_the_sheet_is_of_the_most_telling_frames(settings, net, make_case, tmp_path):
    box = [10.0, 10.0, 20.0, 20.0]

    def scored(name: str, hit: float, false: float) -> Case:
        case = make_case(name, ("x=20,y=20", box, "l"), ("x=60,y=40", box, ""), lesions=("l",) if hit else ())
        first, second = case.candidates
        kept = (replace(first, score=hit),) if hit else ()
        return replace(case, candidates=(*kept, replace(second, score=false)))

    cases = [scored("a1", 0.9, 0.2), scored("a2", 0.8, 0.1), scored("b1", 0.2, 0.3), scored("c1", 0, 0.7)]
    names = [[case.id for case in some] for some in telling(cases).values()]
    assert names[0] == ["a1", "b1"]  # of each video the surest
    assert names[1] == ["a2"]  # what is left
    assert names[2] == ["c1"]
    (path,) = APPLICATION.pictures(net, cases, settings, tmp_path)
    assert cv2.imread(str(path)).shape[1] == 4 * 320


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run on videos of discs: training from scratch and the handcrafted detector."""
    root = tmp_path_factory.mktemp("polyps")
    write_videos(root / "train", 5, 6)
    write_videos(root / "test", 4, 6, "w")
    study = Study.open(root / "run", settings_for(root, NET))
    study.prepare()
    study.train()
    study.evaluate()
    return root / "run"


def test_from_a_folder_of_videos_to_an_froc(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for measures in (metrics["arms"]["scratch"], metrics["handcrafted"]):
        assert measures["counts"]["units"] == 24
        assert measures["counts"]["found"] >= 0.8 * measures["counts"]["lesions"]
        assert measures["froc"]["sensitivity"][0] > 0.5  # without a false positive


def test_training_patches_are_balanced_and_few(run):
    labels = [row["label"] for row in read_table(run / "patches.csv")]
    assert len(labels) <= 1600 + 600  # and those for validation
    assert abs(labels.count("0") - labels.count("1")) <= 2


def test_the_run_has_a_picture(run):
    (path,) = run.glob("**/polyps.png")
    assert cv2.imread(str(path)).std() > 10
