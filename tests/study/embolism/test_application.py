"""The application on small phantoms: patches, scores of a net with a known answer, the competitor and the measures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import caffe_port
from caffe_port import rng
from caffe_port.errors import StudyError
from caffe_port.study.base import open_base
from caffe_port.study.cases import Candidate, Case, Detection
from caffe_port.study.embolism import APPLICATION, application
from caffe_port.study.embolism.phantoms import write_phantoms
from caffe_port.study.embolism.planes import Resampler
from caffe_port.study.embolism.vessels import orientations
from caffe_port.study.embolism.volumes import load_labels, load_volume
from caffe_port.study.settings import ArmChoice, Data, Settings

pytest.importorskip("SimpleITK")

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "mean" top: "ip1" inner_product_param { num_output: 2 } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
SPACING = 1.5


def silent(done: int, total: int) -> None:
    """No progress to show."""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 3, seed=4, size_voxels=(48, 64, 72), spacing_mm=SPACING)
    return folder


@pytest.fixture(scope="module")
def cases(phantoms) -> list[Case]:
    """Two candidates in every clot, and six in vessels and tissue elsewhere."""
    made = []
    for case in sorted(APPLICATION.datasets["volumes"](phantoms), key=lambda case: case.id):
        volume = load_volume(case, SPACING)
        labels = load_labels(case, volume)
        random = rng.numpy_generator(case.id)
        places = [(p, f"{case.patient}/{n}") for n in range(1, labels.max() + 1)
                  for p in random.permutation(np.argwhere(labels == n))[:2]]  # fmt: skip
        tissue = np.argwhere((volume.hu > 0) & (labels == 0))
        places += [(p, "") for p in random.permutation(tissue)[:6]]
        made.append(replace(case, candidates=tuple(_candidate(place.tolist(), hit) for place, hit in places)))
    assert sum(len(case.lesions) for case in made) >= 3
    return made


def _candidate(place: list[int], lesion: str) -> Candidate:
    info = {"index": place, "extent_mm": 5.0, "contrast_hu": 100.0, "minimum_hu": 50.0}
    return Candidate("z={},y={},x={}".format(*place), 100.0, lesion, info)


@pytest.fixture
def settings(tmp_path) -> Settings:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    app = {**APPLICATION.defaults, "spacing_mm": SPACING, "patch_px": 16}
    base = open_base(str(path), None, mean="100", scale=0.02)
    return Settings("embolism", 1, Data(str(tmp_path)), base, ArmChoice(("scratch",)), app=app)


@pytest.fixture
def net(settings) -> caffe_port.Net:
    """Says "embolus" with probability 1 / (1 + exp(-(mean of blue - 100) * 0.02))."""
    net = caffe_port.Net(settings.base.net, phase="TEST")
    weight, bias = net.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
        bias.zero_()
    return net


def test_it_is_a_detection():
    assert isinstance(APPLICATION, Detection)
    assert (APPLICATION.reduce_by, APPLICATION.unit, APPLICATION.training["patches"]) == ("lesion", "volume", 81_000)


def test_candidates_are_told_for_every_case_and_hit_its_own_clots(cases, settings):
    found = APPLICATION.candidates([], cases, settings, silent)
    assert list(found) == [case.id for case in cases]
    for case in cases:
        assert {candidate.lesion for candidate in found[case.id]} <= {"", *case.lesions}


def test_patches_are_labelled_and_come_in_all_variations(cases, settings):
    patches = list(APPLICATION.patches(cases, settings, 1, silent))
    assert len(patches) == 54 * sum(len(case.candidates) for case in cases)
    expected = [(c.id, int(c.lesion != ""), case.id, case.patient) for case in cases for c in case.candidates]
    assert [(p.candidate, p.label, p.case, p.patient) for p in patches[::54]] == expected
    assert [p.candidate for p in patches[:108]] == [cases[0].candidates[0].id] * 54 + [cases[0].candidates[1].id] * 54


@pytest.mark.parametrize("representation", ["vessel", "planes"])
def test_pixels_are_those_of_the_planes_in_any_order(cases, settings, representation):
    settings = settings.changed("app.representation", representation)
    case = cases[0]
    volume = load_volume(case, SPACING)
    places = np.array([candidate.info["index"] for candidate in case.candidates])
    frames = orientations(volume.hu, places, SPACING, settings.app["axis_sigmas_mm"], (-250, 150)).frames
    expected = np.concatenate(list(Resampler(SPACING, settings.app)(volume.hu, places, frames)))
    patches = list(APPLICATION.patches([case], settings, 1, silent))
    for index in (60, 0, 107, 59, 53):
        difference = patches[index].image().astype(int) - expected[index]
        assert np.abs(difference).max() <= 1  # rounding


def test_counting_patches_reads_no_volume(cases, settings, monkeypatch):
    monkeypatch.setattr(application, "load_volume", lambda *given: pytest.fail("read a volume"))
    assert sum(patch.label for patch in APPLICATION.patches(cases, settings, 1, silent)) > 0


def test_a_score_is_the_mean_of_probabilities_over_a_candidates_patches(cases, settings, net):
    rows = APPLICATION.score(net, cases[:2], settings, silent)
    known = [(case.id, case.patient, c.id, c.lesion) for case in cases[:2] for c in case.candidates]
    assert [(row["case"], row["patient"], row["candidate"], row["lesion"]) for row in rows] == known
    images = [patch.image()[..., 0] for patch in APPLICATION.patches(cases[:2], settings, 1, silent)]
    means = np.array([image.mean() for image in images]).reshape(-1, 54)
    expected = (1 / (1 + np.exp(-(means - 100) * 0.02))).mean(axis=1)
    np.testing.assert_allclose([row["score"] for row in rows], expected, atol=1e-3)


def test_the_competitor_tells_clots_from_other_tissue(cases, settings):
    rows = APPLICATION.handcrafted(cases[1:], cases[:1], settings, silent)
    assert [row["candidate"] for row in rows] == [candidate.id for candidate in cases[0].candidates]
    assert roc_auc_score([row["lesion"] != "" for row in rows], [row["score"] for row in rows]) > 0.8


def test_a_volume_without_candidates_has_no_rows_but_counts(cases, settings, net):
    empty = replace(cases[2], candidates=())
    given = [cases[0], empty, cases[1]]
    rows = APPLICATION.score(net, given, settings, silent)
    assert len(rows) == len(cases[0].candidates) + len(cases[1].candidates)
    assert len(APPLICATION.handcrafted(given, [empty], settings, silent)) == 0
    metrics = APPLICATION.metrics(rows, given, settings)
    assert list(metrics["sensitivity_at_fp"]) == ["1", "2", "3", "4", "5"]
    assert metrics["counts"]["units"] == 3
    assert metrics["counts"]["lesions"] == sum(len(case.lesions) for case in cases)
    assert metrics["counts"]["found"] == len(cases[0].lesions) + len(cases[1].lesions)
    assert metrics["counts"]["false_positives"] == 12


def test_the_picture_has_a_column_for_each_candidate_and_frames_by_what_it_hits(cases, settings, net, tmp_path):
    few = [replace(cases[0], candidates=(cases[0].candidates[0], cases[0].candidates[-1]))]
    (path,) = APPLICATION.pictures(net, few, settings, tmp_path)
    narrow = cv2.imread(str(path))
    green, red = (np.all(narrow == colour, axis=2).any() for colour in ((44, 160, 44), (40, 39, 214)))
    assert green
    assert red
    APPLICATION.pictures(net, cases, settings, tmp_path)
    assert cv2.imread(str(path)).shape[1] > 3 * narrow.shape[1]
    assert APPLICATION.pictures(net, [replace(cases[0], candidates=())], settings, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("representation", "round"),
        ("widths_mm", []),
        ("shifts", []),
        ("rotations", 0),
        ("axis_sigmas_mm", [3.0, 0.0]),
        ("window_hu", [450.0, -250.0]),
        ("window_hu", [0.0]),
        ("spacing_mm", 0.0),
        ("spacing_mm", float("nan")),
        ("lung_margin_mm", -1.0),
        ("clot_high_hu", -50.0),
        ("extent_high_mm", 1.0),
        ("contrast_hu", float("inf")),
        ("enclosed", 1.5),
        ("tolerance_mm", -0.1),
        ("patch_px", 100_000),
    ],
)
def test_settings_out_of_range_are_refused(cases, settings, net, name, value):
    wrong = replace(settings, app={**settings.app, name: value})
    uses = (
        lambda: APPLICATION.candidates([], cases, wrong, silent),
        lambda: list(APPLICATION.patches(cases, wrong, 1, silent)),
        lambda: APPLICATION.score(net, cases, wrong, silent),
        lambda: APPLICATION.handcrafted(cases, cases, wrong, silent),
    )
    for use in uses:
        with pytest.raises(StudyError, match=f"app.{name} is .*: out of range. Its default is"):
            use()
