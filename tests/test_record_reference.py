"""The recorder that runs in a user's old Caffe: here in ours, under the name that old scripts import."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from caffe_port import Net, pycaffe
from caffe_port.parity import Record, compare
from caffe_port.parity.training import compare_training
from tests.shared import ORACLE, ROOT, tool

SCRIPT = ROOT / "tools" / "record_reference.py"
LAYERS = ORACLE / "layers"
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
#: What Python 2.7 cannot read, besides what :func:`test_python_2_can_read_it` looks at by hand.
NEW_SYNTAX = (
    ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.Await, ast.YieldFrom,
    ast.MatMult,
)  # fmt: skip


@pytest.fixture
def record(tmp_path, monkeypatch, capsys):
    """Run the script's ``main`` on these arguments in a folder that holds a net and its weights."""
    (tmp_path / "net.prototxt").write_text(NET)
    Net(tmp_path / "net.prototxt", seed=1).save(tmp_path / "w.caffemodel")
    main = tool("record_reference").main
    monkeypatch.setattr(pycaffe.mode, "_seed", None)  # and back at the end: the script sets it

    def run(*arguments, caffe=pycaffe):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(sys.modules, "caffe", caffe)
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, out, err)

    run.folder = tmp_path
    return run


def made(result, path):
    """The arrays that a successful run wrote."""
    assert result.returncode == 0, result.stderr
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    assert f"{len(arrays)} arrays" in result.stdout
    return arrays


def error(result):
    """The one line of a run that failed as it should."""
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("record_reference: error: ")
    return line.partition("error: ")[2]


def test_python_2_can_read_it():
    text = SCRIPT.read_text()
    text.encode("ascii")  # it declares no encoding
    tree = ast.parse(text)
    for node in ast.walk(tree):
        assert not isinstance(node, NEW_SYNTAX), f"line {getattr(node, 'lineno', '?')}: {type(node).__name__}"
        if isinstance(node, ast.Call):
            assert sum(keyword.arg is None for keyword in node.keywords) <= 1
            assert not any(isinstance(argument, ast.Starred) for argument in node.args[:-1])
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            assert not any(isinstance(element, ast.Starred) for element in node.elts)
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            assert not arguments.kwonlyargs
            assert not arguments.posonlyargs
            assert node.returns is None
            assert all(argument.annotation is None for argument in arguments.args)
        if isinstance(node, ast.Raise):
            assert node.cause is None
        if isinstance(node, ast.Dict):
            assert None not in node.keys
        if isinstance(node, ast.With):
            assert not any(isinstance(item.context_expr, ast.Tuple) for item in node.items)
    imports = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert imports == {"argparse", "caffe", "numpy", "os", "sys", "tempfile"}
    (future,) = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert future.module == "__future__"


def test_a_net_with_a_loss(record):
    """Every array is what an independent look at the net shows; the comparison agrees."""
    result = record("net.prototxt", "w.caffemodel", "-o", "r.npz", "--labels", "label=5", "--backward", "--params")
    arrays = made(result, record.folder / "r.npz")
    net = Net(record.folder / "net.prototxt", record.folder / "w.caffemodel")
    kinds = {
        kind: {k.partition("/")[2] for k in arrays if k.startswith(f"{kind}/")} for kind in ("input", "blob", "diff")
    }
    assert kinds == {"input": {"data", "label"}, "blob": {"conv", "ip", "loss"}, "diff": set(net.blob_shapes)}
    assert not any(key.startswith("top_diff/") for key in arrays)
    for node in net.nodes:
        for index, blob in enumerate(node.layer.blobs):
            assert np.array_equal(arrays[f"param/{node.name}/{index}"], blob.detach())
            assert arrays[f"param_diff/{node.name}/{index}"].any()
    assert set(arrays["input/label"]) <= set(range(5))
    assert (arrays["blob/conv"] >= 0).all()  # what the in-place ReLU left
    report = compare(record.folder / "net.prototxt", None, Record.read(record.folder / "r.npz"), backward=True)
    assert report.agrees
    assert report.count("agrees") >= 12


def test_without_a_loss_random_diffs_go_in(record):
    case = LAYERS / "batchnorm_inplace_0.prototxt"
    arrays = made(record(case, "-o", "r.npz", "--phase", "TRAIN", "--backward"), record.folder / "r.npz")
    assert arrays["top_diff/y"].std() > 0.5
    assert "param_after/op/2" in arrays
    report = compare(case, None, Record.read(record.folder / "r.npz"), phase="TRAIN", backward=True)
    assert report.agrees


def test_the_seed_makes_the_record(record):
    arguments = ("net.prototxt", "w.caffemodel", "--labels", "label=5")
    first, again, other = (
        made(record(*arguments, "-o", "r.npz", "--seed", seed), record.folder / "r.npz") for seed in (1, 1, 2)
    )
    assert set(first) == set(again)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["input/data"], other["input/data"])
    assert not any(key.startswith("param/") for key in first)


def test_inputs_from_files(record):
    data = np.arange(3 * 3 * 4 * 4, dtype=np.float32).reshape(3, 3, 4, 4)
    np.save(record.folder / "d.npy", data)
    np.savez(record.folder / "i.npz", **{"input/label": np.array([4, 0, 2]), "blob/ip": np.ones(1)})
    result = record("net.prototxt", "w.caffemodel", "-o", "r.npz", "--input", "data=d.npy", "--inputs", "i.npz")
    arrays = made(result, record.folder / "r.npz")
    assert np.array_equal(arrays["input/data"], data)
    assert arrays["input/label"].tolist() == [4, 0, 2]
    assert arrays["blob/ip"].shape == (3, 5)


def test_images_are_prepared(record):
    """A BGR image of one colour: times 255, channels swapped to BGR, mean subtracted, scaled."""
    cv2.imwrite(str(record.folder / "i.png"), np.full((4, 4, 3), (10, 20, 30), np.uint8))
    options = ["--swap", "2,1,0", "--raw-scale", "255", "--mean", "1,2,3", "--scale", "0.5", "--labels", "label=5"]
    images = ["--image", "i.png", "--image", "i.png"]
    arrays = made(record("net.prototxt", "-o", "r.npz", *images, *options), record.folder / "r.npz")
    assert arrays["input/data"].shape == (2, 3, 4, 4)
    np.testing.assert_allclose(arrays["input/data"][1, :, 2, 1], [4.5, 9, 13.5], rtol=1e-5)
    np.save(record.folder / "m.npy", np.ones((3, 9, 9)) * np.array([1, 2, 3]).reshape(3, 1, 1))
    options[options.index("1,2,3")] = "m.npy"
    again = made(record("net.prototxt", "-o", "r.npz", *images, *options), record.folder / "r.npz")
    np.testing.assert_allclose(again["input/data"], arrays["input/data"])


def test_what_data_layers_served_is_an_input(record):
    """Also where a later layer works in-place on it."""
    (record.folder / "d.prototxt").write_text("""
layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 }
  data_filler { type: "gaussian" std: 1 } } }
layer { name: "r" type: "ReLU" bottom: "data" top: "data" }
layer { name: "p" type: "Power" bottom: "data" top: "y" power_param { scale: 2 } }
""")
    arrays = made(record("d.prototxt", "-o", "r.npz"), record.folder / "r.npz")
    assert np.array_equal(arrays["blob/data"], np.maximum(arrays["input/data"], 0))
    assert (arrays["input/data"] < 0).any()
    assert compare(record.folder / "d.prototxt", None, Record.read(record.folder / "r.npz")).agrees


def test_a_training(record):
    """As real Caffe recorded it."""
    case = shutil.copytree(ORACLE / "solvers" / "sgd_fixed", record.folder / "case")
    arguments = ["--solver", "case/solver.prototxt", "--weights", "case/init.caffemodel", "--iterations", 3]
    arrays = made(record(*arguments, "-o", "t.npz"), record.folder / "t.npz")
    with np.load(case / "expected.npz") as expected:
        assert set(arrays) == set(expected.files)
        np.testing.assert_allclose(arrays["loss"], expected["loss"][:3], rtol=1e-4)
        for key in ("init/conv1/0", "after1/ip1/1"):
            np.testing.assert_allclose(arrays[key], expected[key], atol=1e-6)
    assert compare_training(case / "solver.prototxt", record.folder / "t.npz").agrees


def test_errors(record):
    arguments = ["-o", "r.npz", "--labels", "label=5"]
    assert error(record("gone.prototxt", *arguments)) == "gone.prototxt: there is no such file."
    assert "the net has no input 'x'; its inputs are: data, label." in error(
        record("net.prototxt", *arguments, "--labels", "x=3")
    )
    assert "write it as --labels NAME=VALUE" in error(record("net.prototxt", *arguments, "--labels", "x"))
    assert "there is no folder" in error(record("net.prototxt", *arguments, "-o", "no/r.npz"))
    assert "must say force_backward: true" in error(
        record(LAYERS / "filter_0.prototxt", "-o", "r.npz", "--backward", "--input", f"sel={zeros(record)}")
    )
    assert "cannot import caffe" in error(record("net.prototxt", *arguments, caffe=None))
    assert not list(record.folder.glob("*.npz"))
    assert not list(record.folder.glob("*.part"))


def zeros(record):
    np.save(record.folder / "zeros.npy", np.zeros(6))
    return "zeros.npy"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either NET or --solver"),
        (["net.prototxt", "--solver", "s"], "give either NET or --solver"),
        (["--solver", "s"], "--solver needs --iterations"),
        (["net.prototxt", "--iterations", "2"], "belong to --solver"),
    ],
)
def test_usage(arguments, said, record):
    result = record(*arguments, "-o", "r.npz")
    assert result.returncode == 2
    assert said in result.stderr


def test_help(record):
    result = record("--help")
    assert result.returncode == 0
    for flag in ("--backward", "--phase", "--labels", "--image", "--solver", "Python 2.7"):
        assert flag in result.stdout


def test_as_a_script_of_a_caffe(record):
    """The way it is meant to be run, here with ours under Caffe's name."""
    command = [sys.executable, "-m", "caffe_port.pycaffe", SCRIPT, "net.prototxt", "w.caffemodel", "-o", "r.npz"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"cwd": record.folder, "env": environment, "capture_output": True, "text": True}
    result = subprocess.run([*command, "--labels", "label=5"], check=False, **options)
    assert {"input/data", "blob/conv", "blob/loss"} <= set(made(result, record.folder / "r.npz"))
