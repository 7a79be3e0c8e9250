"""The application: sub-images, scores of a net whose answer is known, the competitor and the measures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import caffe_port
from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.base import open_base
from caffe_port.study.cases import Case
from caffe_port.study.frames import APPLICATION
from caffe_port.study.settings import ArmChoice, Data, Settings

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "mean" top: "ip1" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


def silent(done: int, total: int) -> None:
    """No progress to show."""


@pytest.fixture
def settings(tmp_path) -> Settings:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    app = dict(APPLICATION.defaults) | {"frame_width": 40, "frame_height": 28, "sub_image": 24, "sub_images": 60}
    base = open_base(str(path), None, mean="100", scale=0.02)
    return Settings("frames", 1, Data(str(tmp_path)), base, ArmChoice(("scratch",)), app=app)


@pytest.fixture
def net(settings) -> caffe_port.Net:
    """Says "informative" with probability 1 / (1 + exp(-(mean of blue - 100) * 0.02))."""
    net = caffe_port.Net(settings.base.net, phase="TEST")
    weight, bias = net.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
        bias.zero_()
    return net


@pytest.fixture
def make_case(tmp_path):
    def make(name: str, label: int | None, blue: int = 0, image: np.ndarray | None = None) -> Case:
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), np.full((28, 40, 3), [blue, 5, 9], np.uint8) if image is None else image)
        return Case(name, name[:1], label, {"path": str(path)})

    return make


def test_patches_are_labelled_crops_at_the_places_they_name(settings, make_case):
    image = rng.numpy_generator("image").integers(0, 256, (28, 40, 3), np.uint8)
    cases = [make_case("a1", 1, image=image), make_case("b1", 0, blue=7)]
    patches = list(APPLICATION.patches(cases, settings, 5, silent))
    assert [(p.case, p.patient, p.label) for p in patches] == [("a1", "a", 1)] * 60 + [("b1", "b", 0)] * 60
    for patch in patches[:60]:
        left, top = (int(part[2:]) for part in patch.candidate.split(","))
        np.testing.assert_array_equal(patch.image, image[top : top + 24, left : left + 24])
    swapped = list(APPLICATION.patches(cases[::-1], settings, 5, silent))
    assert [p.candidate for p in swapped] == [p.candidate for p in [*patches[60:], *patches[:60]]]


def test_an_unlabelled_frame_is_refused(settings, make_case):
    with pytest.raises(DataError, match="a1 has no label"):
        list(APPLICATION.patches([make_case("a1", None)], settings, 0, silent))


def test_the_score_of_an_even_frame_is_the_nets_closed_form(settings, net, make_case):
    (row,) = APPLICATION.score(net, [make_case("a1", 1, blue=160)], settings, silent)
    assert (row["case"], row["patient"]) == ("a1", "a")
    assert int(row["label"]) == 1
    assert row["score"] == pytest.approx(1 / (1 + np.exp(-60 * 0.02)), abs=1e-6)


def test_a_score_is_the_mean_of_probabilities_over_sub_images(settings, net, make_case):
    ramp = np.zeros((28, 40, 3), np.uint8)
    ramp[..., 0] = np.arange(40) * 6
    case = make_case("a1", 1, image=ramp)
    lefts = [int(p.candidate.split(",")[0][2:]) for p in APPLICATION.patches([case], settings, settings.seed, silent)]
    means = np.array([np.mean(np.arange(left, left + 24) * 6) for left in lefts])
    (row,) = APPLICATION.score(net, [case], settings, silent)
    assert row["score"] == pytest.approx(np.mean(1 / (1 + np.exp(-(means - 100) * 0.02))), abs=1e-5)


def test_metrics_are_those_of_the_rows(settings):
    random = rng.numpy_generator("rows")
    labels = random.integers(0, 2, 300)
    scores = random.normal(labels, 1.0)
    rows = [
        {"case": str(i), "patient": "p", "label": str(y), "score": str(s)}
        for i, (y, s) in enumerate(zip(labels, scores, strict=True))
    ]
    metrics = APPLICATION.metrics(rows, [], settings)
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert metrics["auc_ci95"][0] < metrics["auc"] < metrics["auc_ci95"][1]
    assert list(metrics["tpr_at_fpr"]) == ["0.1", "0.15", "0.2"]
    negatives, positives = np.sort(scores[labels == 0])[::-1], scores[labels == 1]
    allowed = int(0.2 * len(negatives))  # false positives at this rate
    at = metrics["tpr_at_fpr"]["0.2"]
    assert at["tpr"] == pytest.approx(np.mean(positives > negatives[allowed]), abs=1 / len(positives))
    assert at["ci95"][0] < at["tpr"] < at["ci95"][1]


def test_the_competitor_tells_sharp_from_blurred(settings, make_case):
    random = rng.numpy_generator("textures")

    def cases(group: str) -> list[Case]:
        made = []
        for n in range(12):
            image = random.integers(60, 200, (112, 160, 3), np.uint8)
            image = image if n % 2 else cv2.GaussianBlur(image, (0, 0), 4)
            made.append(make_case(f"{group}{n}", n % 2, image=image))
        return made

    settings = settings.changed("app.frame_width", 160).changed("app.frame_height", 112)
    rows = APPLICATION.handcrafted(cases("a"), cases("b"), settings, silent)
    assert [row["case"] for row in rows] == [f"b{n}" for n in range(12)]
    assert all((float(row["score"]) > 0.5) == (row["label"] == "1") for row in rows)


def test_the_sheet_shows_frames_by_their_score(settings, net, make_case, tmp_path):
    cases = [make_case(f"a{n}", n % 2, blue=250 - 20 * n) for n in range(6)]
    (path,) = APPLICATION.pictures(net, cases, settings, tmp_path)
    sheet = cv2.imread(str(path))
    columns = sheet.shape[1] // 4
    blues = [int(sheet[sheet.shape[0] // 4, column * columns + columns // 2, 0]) for column in range(4)]
    assert blues == [150, 170, 190, 210]  # the least likely informative first
