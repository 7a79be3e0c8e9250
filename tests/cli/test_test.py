"""``caffe-port test``, and what every wrong input is answered with, in a process of its own."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from tests.cli.process import Here, caffe_port, error_line, messages
from tests.solver.make import copy_case

NET = """
name: "scored"
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "data.txt" batch_size: 8 }} }}
{layers}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy" }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" loss_weight: 0.5 }}
"""


@pytest.fixture
def folder(tmp_path):
    """Real Caffe's sgd_fixed case with a net.prototxt that also gives the accuracy."""
    folder = copy_case("sgd_fixed", tmp_path)
    text = (folder / "net.prototxt").read_text()
    layers = text[text.index('layer { name: "conv1"') : text.index('layer { name: "loss"')]
    (folder / "scored.prototxt").write_text(NET.format(layers=layers))
    return folder


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


def score(folder, *more, model="scored.prototxt", weights="snap_iter_20.caffemodel", run=caffe_port):
    return run("test", "--model", model, "--weights", weights, *more, cwd=folder)


def test_lines_and_means(folder):
    result = score(folder, "--iterations", 5)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    lines = messages(result.stderr)
    assert "Use CPU." in lines
    batches = lines[lines.index("Running for 5 iterations.") + 1 :]
    values = []
    for index in range(5):
        accuracy, loss = batches[2 * index : 2 * index + 2]
        values.append(
            [
                float(re.fullmatch(rf"Batch {index}, accuracy = (\S+)", accuracy)[1]),
                float(re.fullmatch(rf"Batch {index}, loss = (\S+)", loss)[1]),
            ]
        )
    accuracy, loss = np.mean(values, axis=0)
    weighted, first, second = batches[10:]
    assert float(re.fullmatch(r"Loss: (\S+)", weighted)[1]) == pytest.approx(loss / 2, rel=1e-5)
    assert float(re.fullmatch(r"accuracy = (\S+)", first)[1]) == pytest.approx(accuracy, rel=1e-5)
    mean, half = re.fullmatch(r"loss = (\S+) \(\* 0\.5 = (\S+) loss\)", second).groups()
    assert float(mean) == pytest.approx(loss, rel=1e-5)
    assert float(half) == pytest.approx(loss / 2, rel=1e-5)


def first_loss(result):
    assert result.returncode == 0, result.stderr
    return float(re.search(r"Batch 0, loss = (\S+)", result.stderr)[1])


def test_scores_are_real_caffes(folder, here):
    """Iteration 10 of its training saw the rows of batch 0 again (80 of 40), with the weights of that snapshot."""
    losses = np.load(folder / "expected.npz")["loss"]
    for weights, loss in (("init.caffemodel", losses[0]), ("snap_iter_10.caffemodel", losses[10])):
        result = score(folder, "--iterations", 1, model="net.prototxt", weights=weights, run=here)
        assert first_loss(result) == pytest.approx(float(loss), rel=1e-5)


def test_fifty_batches_unless_told(folder, here):
    assert "Running for 50 iterations." in messages(score(folder, run=here).stderr)


def test_weights_in_hdf5(tmp_path, here):
    other = copy_case("sgd_hdf5_snapshot", tmp_path)
    result = score(other, "--iterations", 1, model="net.prototxt", weights="snap_iter_10.caffemodel.h5", run=here)
    assert first_loss(result) == pytest.approx(float(np.load(other / "expected.npz")["loss"][10]), rel=1e-5)


def test_stage_and_level(folder, here):
    text = (folder / "scored.prototxt").read_text()
    text = text.replace('top: "accuracy"', 'top: "accuracy" include { min_level: 3 stage: "a" stage: "b" }')
    (folder / "staged.prototxt").write_text(text)
    without = score(folder, "--iterations", 1, model="staged.prototxt", run=here)
    assert "accuracy" not in messages(without.stderr)[-1] + messages(without.stderr)[-2]
    result = score(folder, "--iterations", 1, "--level", 3, "--stage", "a,b", model="staged.prototxt", run=here)
    assert messages(result.stderr)[-2].startswith("accuracy = ")


def test_missing_layers_need_an_opt_out(folder, here):
    text = (folder / "scored.prototxt").read_text().replace('name: "ip1"', 'name: "renamed"')
    (folder / "renamed.prototxt").write_text(text)
    line = error_line(score(folder, model="renamed.prototxt", run=here))
    assert line.startswith("snap_iter_20.caffemodel, layer 'renamed' (InnerProduct): ")
    assert "--allow-missing" in line
    result = score(folder, "--iterations", 1, "--allow-missing", model="renamed.prototxt", run=here)
    assert result.returncode == 0, result.stderr
    assert "Layer renamed is not in snap_iter_20.caffemodel: it starts from its filler" in messages(result.stderr)


def test_unknown_fields_need_an_opt_out(folder, here):
    with (folder / "scored.prototxt").open("a") as file:
        file.write("bogus_field: 3\n")
    line = error_line(score(folder, run=here))
    assert re.match(r"scored\.prototxt:\d+:1: .*bogus_field", line)
    result = score(folder, "--iterations", 1, "--allow-unknown", run=here)
    assert result.returncode == 0, result.stderr
    assert "bogus_field" in re.search(r"caffe-port: warning: (.*)", result.stderr)[1]


def test_usage(tmp_path):
    assert "Missing option '--model'" in caffe_port("test", "--weights", "w", cwd=tmp_path).stderr
    assert caffe_port("test", "--model", "m", "--weights", "w", "--iterations", 0, cwd=tmp_path).returncode == 2
    assert "Example: caffe-port test" in caffe_port("test", "--help", cwd=tmp_path).stdout


# -- wrong input ------------------------------------------------------------------------------------------------------


def change(name, old, new):
    """An edit of a text file of the case."""

    def apply(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


def remove(name):
    return lambda folder: (folder / name).unlink()


def make_folder(name):
    def apply(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def overwrite(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def database(made, asked):
    """A Data layer that asks for a database of one kind where there is one of another, or none."""

    def apply(folder):
        if made:
            with DatabaseWriter(folder / "db", made) as db:
                db.put(b"00000000", array_to_datum(np.zeros((3, 11, 11), np.uint8), 0).SerializeToString())
        data = f'type: "Data" data_param {{ source: "db" batch_size: 8 backend: {asked} }}'
        old = 'type: "HDF5Data"'
        hdf5 = 'hdf5_data_param { source: "data.txt" batch_size: 8 }'
        change("scored.prototxt", old, data)(folder)
        change("scored.prototxt", hdf5, "")(folder)

    return apply


GARBAGE = bytes(range(256)) * 20
BAD = {
    "no net": (remove("scored.prototxt"), r"scored\.prototxt: .*No such file"),
    "net is a folder": (make_folder("scored.prototxt"), r"scored\.prototxt: .*(folder|directory)"),
    "net is garbage": (overwrite("scored.prototxt", GARBAGE), r"scored\.prototxt"),
    "net is empty": (overwrite("scored.prototxt", b""), r"scored\.prototxt: .*empty"),
    "net is cut off": (cut("scored.prototxt", 400), r"scored\.prototxt:\d+:\d+.*end of the file"),
    "syntax": (change("scored.prototxt", 'name: "relu1"', "name: : "), r"scored\.prototxt:\d+:\d+: "),
    "unknown field": (change("scored.prototxt", "num_output: 8", "num_outputs: 8"), r"scored.*num_outputs.*num_output"),
    "unknown layer type": (change("scored.prototxt", '"ReLU"', '"Relu"'), r"scored.*'relu1'.*Relu.*ReLU"),
    "unknown bottom": (change("scored.prototxt", 'bottom: "pool1"', 'bottom: "pool9"'), r"layer 'conv2'.*pool9"),
    "window larger than the image": (
        change("scored.prototxt", "num_output: 12 kernel_size: 3", "num_output: 12 kernel_size: 30"),
        r"scored\.prototxt, layer 'conv2' \(Convolution\)",
    ),
    "too large for any memory": (
        change("scored.prototxt", "num_output: 12 ", "num_output: 2000000000 "),
        r"layer 'conv2'|not enough memory",
    ),
    "weights of another shape": (
        change("scored.prototxt", "num_output: 12 ", "num_output: 13 "),
        r"snap_iter_20\.caffemodel, layer 'conv2'.*shape mismatch.*rename the layer",
    ),
    "no weights": (remove("snap_iter_20.caffemodel"), r"snap_iter_20\.caffemodel: .*No such file"),
    "weights are a folder": (make_folder("snap_iter_20.caffemodel"), r"snap_iter_20\.caffemodel: .*(folder|directory)"),
    "weights are garbage": (overwrite("snap_iter_20.caffemodel", GARBAGE), r"snap_iter_20\.caffemodel"),
    "weights are text": (overwrite("snap_iter_20.caffemodel", b"layer { }"), r"snap_iter_20\.caffemodel"),
    "weights are cut off": (cut("snap_iter_20.caffemodel", 3000), r"snap_iter_20\.caffemodel.*byte \d+"),
    "no list of data": (remove("data.txt"), r"data\.txt"),
    "no data": (remove("data.h5"), r"data\.h5"),
    "data are garbage": (overwrite("data.h5", GARBAGE), r"data\.h5"),
    "data are cut off": (cut("data.h5", 5000), r"data\.h5"),
    "wrong dataset name": (
        change("scored.prototxt", '"label"', '"class"'),
        r"data\.h5.*'class'.*data, label",
    ),
    "no database": (database(None, "LMDB"), r"db.*does not exist.*source"),
    "LMDB opened as LEVELDB": (database("LMDB", "LEVELDB"), r"db.* LMDB.*LEVELDB.*backend: LMDB"),
    "LEVELDB opened as LMDB": (database("LEVELDB", "LMDB"), r"db.* LEVELDB.*LMDB.*backend: LEVELDB"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_to_test(name, folder, here):
    spoil, expected = BAD[name]
    spoil(folder)
    assert re.search(expected, error_line(score(folder, run=here)))


def test_labels_out_of_range(folder, here):
    """Weights that fit, but fewer classes than the labels have."""
    text = (folder / "scored.prototxt").read_text().replace('name: "ip1"', 'name: "few"')
    (folder / "few.prototxt").write_text(text.replace("num_output: 10", "num_output: 5"))
    line = error_line(score(folder, "--allow-missing", model="few.prototxt", run=here))
    assert re.match(r"few\.prototxt, layer '(accuracy|loss)' \(\w+\): .*label.*\d", line)


BAD_SOLVERS = {
    "no solver": (remove("solver.prototxt"), r"solver\.prototxt: .*No such file"),
    "solver is a folder": (make_folder("solver.prototxt"), r"solver\.prototxt: .*(folder|directory)"),
    "solver is garbage": (overwrite("solver.prototxt", GARBAGE), r"solver\.prototxt"),
    "solver is empty": (overwrite("solver.prototxt", b""), r"solver\.prototxt: .*empty"),
    "a net given as solver": (lambda f: shutil.copy(f / "net.prototxt", f / "solver.prototxt"), r"solver\.prototxt:\d"),
    "unknown field": (change("solver.prototxt", "base_lr", "base_rate"), r"solver\.prototxt:2:1: .*base_rate"),
    "no such net": (change("solver.prototxt", "net.prototxt", "gone.prototxt"), r"gone\.prototxt: .*No such file"),
    "no net": (change("solver.prototxt", 'net: "net.prototxt"', ""), r"solver\.prototxt: .*no training net"),
    "policy": (change("solver.prototxt", '"fixed"', '"often"'), r"solver\.prototxt: .*'often'.*Known: .*fixed"),
    "prefix": (change("solver.prototxt", '"snap"', '"gone/snap"'), r"solver\.prototxt: .*'gone/snap'.*'gone'"),
    "iter_size": (change("solver.prototxt", "max_iter", "iter_size: 0 max_iter"), r"solver\.prototxt: iter_size is 0"),
    "net at fault": (change("net.prototxt", '"ReLU"', '"Relu"'), r"^net\.prototxt, layer 'relu1'.*Relu"),
    "data at fault": (overwrite("data.h5", GARBAGE), r"data\.h5"),
}


@pytest.mark.parametrize("name", BAD_SOLVERS)
def test_bad_input_to_train(name, folder, here):
    spoil, expected = BAD_SOLVERS[name]
    spoil(folder)
    assert re.search(expected, error_line(here("train", "--solver", "solver.prototxt", cwd=folder)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--weights", "gone.caffemodel"], r"gone\.caffemodel: .*No such file"),
        (["--weights", "init.caffemodel,gone.caffemodel"], r"gone\.caffemodel: .*No such file"),
        (["--weights", "init.caffemodel,"], r"list of weights 'init\.caffemodel,' is empty"),
        (["--weights", "data.txt"], r"data\.txt"),
        (["--weights", "snap_iter_10.solverstate"], r"snap_iter_10\.solverstate"),
        (["--snapshot", "gone.solverstate"], r"gone\.solverstate: .*No such file"),
        (["--snapshot", "snap_iter_10.caffemodel"], r"snap_iter_10\.caffemodel.*These are weights"),
        (["--snapshot", "net.prototxt"], r"net\.prototxt"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_starting_points(arguments, expected, folder, here):
    line = error_line(here("train", "--solver", "solver.prototxt", *arguments, cwd=folder))
    assert re.search(expected, line)


def test_odd_characters_in_names_stay_on_one_line(folder, here):
    change("solver.prototxt", "net.prototxt", r"no\nsuch\033[31m\377")(folder)
    line = error_line(here("train", "--solver", "solver.prototxt", cwd=folder))
    assert re.match(r"no\\nsuch\\x1b\[31m.*: ", line)


def test_a_record_that_breaks_in_the_middle_of_training(folder):
    """A damaged record is found by a thread that reads ahead; the error is no less one line."""
    with DatabaseWriter(folder / "db", "LMDB") as db:
        good = array_to_datum(np.zeros((3, 11, 11), np.uint8), 0).SerializeToString()
        for index in range(40):
            db.put(b"%08d" % index, good if index != 30 else good[:-50])
    text = (folder / "net.prototxt").read_text()
    text = text.replace('type: "HDF5Data"', 'type: "Data"')
    text = text.replace('hdf5_data_param { source: "data.txt"', 'data_param { source: "db" backend: LMDB')
    (folder / "net.prototxt").write_text(text)
    result = caffe_port("train", "--solver", "solver.prototxt", cwd=folder)
    assert re.search(r"db.*record '00000030'", error_line(result))
