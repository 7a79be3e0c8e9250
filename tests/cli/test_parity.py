"""``caffe-port parity``: the table, the first divergence, exit status, JSON, usage."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch

from tests.cli.process import Here, error_line
from tests.shared import MODELS, ORACLE, needs

CASE = ORACLE / "layers" / "lrn_1"
LENET = MODELS / "lenet_v1"


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """A folder with a net of two layers, and what real Caffe computed in the first of them."""
    text = CASE.with_suffix(".prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "bad.prototxt").write_text(text.replace("alpha: 0.5", "alpha: 0.1"))
    shutil.copy(CASE.with_suffix(".npz"), tmp_path / "r.npz")
    run = Here(monkeypatch, capsys)
    return lambda *args: run("parity", *args, cwd=tmp_path)


def test_agreement(here):
    result = here("net.prototxt", "--reference", "r.npz", "--phase", "TRAIN")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^ +y +1x7x7x7 +op +\S+ +\S+", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("agrees: 1 of 1 arrays within 2e-05.\n")
    assert "The record has diffs, which are compared with --backward." in result.stdout
    result = here("net.prototxt", "--reference", "r.npz", "--backward", "--phase=TRAIN")
    assert re.search(r"^diff +x +1x7x7x7 +op ", result.stdout, re.MULTILINE)


def test_disagreement_is_explained(here):
    result = here("bad.prototxt", "--reference", "r.npz")
    assert result.returncode == 1
    assert result.stderr == ""
    assert re.search(r"^ +y .* DIVERGES$", result.stdout, re.MULTILINE)
    assert "The first divergence is in blob 'y', made by 'op' (LRN)." in result.stdout
    assert "op: lrn_param { local_size: 3 alpha: 0.1 beta: 0.6 }" in result.stdout
    assert "Usual suspects in LRN: alpha, which Caffe divides by local_size;" in result.stdout
    assert result.stdout.endswith("DOES NOT AGREE: 0 of 1 arrays within 2e-05.\n")
    assert here("bad.prototxt", "--reference", "r.npz", "--tolerance", "0.9").returncode == 0


def test_explanation(here, tmp_path):
    text = (tmp_path / "net.prototxt").read_text()
    (tmp_path / "bad.prototxt").write_text(text.replace("alpha: 0.5", "alpha: 0.16666667"))
    result = here("bad.prototxt", "--reference", "r.npz")
    explained = (
        r"The reference agrees to \de-0[789] with 'op' \(LRN\) computed with alpha not divided by the size of the"
    )
    assert re.search(explained, result.stdout)


def test_json(here):
    result = here("bad.prototxt", "--reference", "r.npz", "--json")
    assert result.returncode == 1
    form = json.loads(result.stdout)
    assert form["agrees"] is False
    assert form["finding"]["layers"][0]["name"] == "op"
    assert [row["status"] for row in form["rows"]] == ["diverges"]


@needs(LENET)
def test_real_model(here):
    result = here(LENET / "net.prototxt", LENET / "weights.caffemodel", "--reference", LENET / "reference.npz")
    assert result.returncode == 0
    assert "agrees: 12 of 12 arrays" in result.stdout


def test_training(here, tmp_path):
    case = shutil.copytree(ORACLE / "solvers" / "adam", tmp_path / "case")
    result = here("--solver", "case/solver.prototxt", "--reference", "case/expected.npz")
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(re.findall(r"^\d+ +[\d.]+ +[\d.]+ +\S+$", result.stdout, re.MULTILINE)) == 20
    assert result.stdout.endswith("agrees: 20 iterations, losses and the first update within 0.001.\n")
    solver = case / "solver.prototxt"
    solver.write_text(solver.read_text().replace("base_lr: 0.003784", "base_lr: 0.001892"))
    arguments = ("--solver", "case/solver.prototxt", "--reference", "case/expected.npz")
    result = here(*arguments)
    assert result.returncode == 1
    assert "The first divergence is in the first update, first that of conv1/0." in result.stdout
    assert "The reference's first update is 2 times ours." in result.stdout
    assert json.loads(here(*arguments, "--json").stdout)["iteration"] == 1


@needs(MODELS)
@pytest.mark.skipif(hasattr(cv2.dnn, "readNetFromCaffe"), reason=f"OpenCV {cv2.__version__} reads Caffe nets")
def test_opencv_that_reads_no_caffe(here):
    files = (LENET / "net.prototxt", LENET / "weights.caffemodel")
    assert "does not read Caffe nets any more" in error_line(here(*files, "--against", "opencv"))


@needs(MODELS)
@pytest.mark.skipif(
    not hasattr(cv2.dnn, "readNetFromCaffe"), reason=f"OpenCV {cv2.__version__} does not read Caffe nets"
)
def test_against_opencv(here):
    folder = MODELS / "mtcnn_onet"
    result = here(folder / "net.prototxt", folder / "weights.caffemodel", "--against", "opencv")
    assert result.returncode == 0, result.stdout


def test_against_a_caffe_that_is_not_here(here, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    assert "cannot import caffe" in error_line(here("net.prototxt", "--against", "caffe"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give either NET or --solver."),
        (["net.prototxt", "--solver", "s", "--reference", "r.npz"], "Give either NET or --solver."),
        (["net.prototxt"], "Give either --reference or --against."),
        (["net.prototxt", "--reference", "r.npz", "--against", "caffe"], "Give either --reference or --against."),
        (["--solver", "s", "--reference", "r.npz", "--backward"], "--backward are for nets"),
        (["net.prototxt", "--reference", "r.npz", "--weights", "w"], "--weights belongs to --solver"),
        (["net.prototxt", "--reference", "r.npz", "--inputs", "i.npz"], "belong to --against"),
        (["net.prototxt", "--against", "opencv"], "--against opencv needs WEIGHTS"),
        (["net.prototxt", "w", "--against", "opencv", "--backward"], "runs forward in TEST phase only"),
        (["net.prototxt", "--reference", "r.npz", "--tolerance", "-1"], "Invalid value for '--tolerance'"),
    ],
)
def test_usage(arguments, said, here):
    result = here(*arguments)
    assert result.returncode == 2
    assert said in result.stderr


def test_errors(here, tmp_path):
    assert "gone.npz: Cannot be read" in error_line(here("net.prototxt", "--reference", "gone.npz"))
    assert "gone.prototxt: Cannot be read" in error_line(here("gone.prototxt", "--reference", "r.npz"))
    assert (
        "cannot be read"
        in error_line(here("--solver", "gone", "--reference", ORACLE / "solvers/adam/expected.npz")).lower()
    )
    np.savez(tmp_path / "e.npz", **{"blob/y": np.ones(2)})
    assert "layer 'x' (Input): The record lacks the input 'x'" in error_line(
        here("net.prototxt", "--reference", "e.npz")
    )


def test_devices(here, monkeypatch):
    chosen = []
    monkeypatch.setattr("caffe_port.cli.parity.choose_device", lambda gpu: chosen.append(gpu) or torch.device("cpu"))
    for arguments in ((), ("--device", "cpu"), ("--device=cuda",), ("--device", "cuda:1"), ("--gpu", "2")):
        assert here("net.prototxt", "--reference", "r.npz", "--phase", "TRAIN", *arguments).returncode == 0
    assert chosen == [None, None, "0", "1", "2"]
    for wrong in ("tpu", "cpu:1"):
        result = here("net.prototxt", "--reference", "r.npz", "--device", wrong)
        assert result.returncode == 2
        assert "it is cpu, cuda" in result.stderr
