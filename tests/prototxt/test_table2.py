"""The nine arms of Table II: every number of the paper's table, and Eq. 2's rates."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.errors import SolverError
from caffe_port.proto import pb
from caffe_port.proto.files import read_net, read_solver
from caffe_port.proto.text import parse_text
from caffe_port.resources import prototxt
from caffe_port.solver.epochs import epoch_steps
from caffe_port.solver.lr_policy import LearningRate
from tests.data.make import image_database, images, write_mean
from tests.shared import ROOT, SHARED, needs, tool

make_prototxt = tool("make_prototxt")
PAPER = SHARED / "paper.txt"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

#: Table II, copied from the paper: mu, the rates of the weights from conv1 to fc8, gamma.
TABLE_II = """
Fine-tuned AlexNet:conv1-fc8	0.9	0.001	0.001	0.001	0.001	0.001	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:conv2-fc8	0.9	0	0.001	0.001	0.001	0.001	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:conv3-fc8	0.9	0	0	0.001	0.001	0.001	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:conv4-fc8	0.9	0	0	0	0.001	0.001	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:conv5-fc8	0.9	0	0	0	0	0.001	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:fc6-fc8	0.9	0	0	0	0	0	0.001	0.001	0.01	0.95
Fine-tuned AlexNet:fc7-fc8	0.9	0	0	0	0	0	0	0.001	0.01	0.95
Fine-tuned AlexNet:only fc8	0.9	0	0	0	0	0	0	0	0.01	0.95
AlexNet scratch	0.9	0.001	0.001	0.001	0.001	0.001	0.001	0.001	0.001	0.95
"""


def rows(text: str) -> dict[str, list[float]]:
    """The numbers of each line that has Table II's ten, by the file name of its arm."""
    found = {}
    for line in text.splitlines():
        name, *numbers = line.split("\t")
        if len(numbers) == 10 and re.fullmatch(r"[\d.]+", numbers[0]):
            found[name.split(":")[-1].split(" ")[-1]] = [float(number) for number in numbers]
    return found


TABLE = rows(TABLE_II)
ARMS = [*[f"{layer}-fc8" for layer in LAYERS[:-1]], "fc8", "scratch"]


def net_of(arm):
    return read_net(prototxt(f"table2/{arm}_train_val.prototxt"))


def solver_of(arm):
    return read_solver(prototxt(f"table2/{arm}_solver.prototxt"))


@needs(PAPER)
def test_the_copy_is_the_papers_table():
    assert rows(PAPER.read_text(encoding="utf-8")) == TABLE


def test_there_are_nine_arms_and_no_other_files():
    assert list(TABLE) == ARMS
    expected = {f"{arm}_{kind}.prototxt" for arm in ARMS for kind in ("train_val", "solver")}
    assert {path.name for path in prototxt("table2").iterdir()} == {*expected, "README.md"}


@pytest.mark.parametrize("arm", ARMS)
def test_every_number_of_the_table(arm):
    mu, *rates, gamma = TABLE[arm]
    solver = solver_of(arm)
    assert (solver.momentum, solver.gamma) == (np.float32(mu), np.float32(gamma))
    learnable = [layer for layer in net_of(arm).layer if layer.param]
    assert [layer.top[0] for layer in learnable] == list(LAYERS)
    for layer, rate in zip(learnable, rates, strict=True):
        weight, bias = (solver.base_lr * param.lr_mult for param in layer.param)
        assert weight == pytest.approx(rate, rel=1e-6), layer.name
        assert bias == pytest.approx(2 * rate, rel=1e-6), layer.name
        assert (rate == 0) == (weight == 0) == (bias == 0), "a frozen layer is frozen"


@pytest.mark.parametrize("arm", ARMS)
def test_what_the_paper_leaves_open(arm):
    solver, net = solver_of(arm), net_of(arm)
    train, test = net.layer[:2]
    assert train.data_param.batch_size == 128
    assert solver.iter_size == 1
    assert solver.weight_decay == 0
    assert solver.max_iter == 30 * 625  # 80,000 / 128 = 625
    assert list(solver.stepvalue) == [625 * epoch for epoch in range(1, 30)]
    assert list(solver.test_iter) == [20_000 // test.data_param.batch_size]
    assert solver.test_interval == solver.snapshot == 625
    last = [layer for layer in net.layer if layer.param][-1]
    assert last.inner_product_param.num_output == 2
    assert last.name != "fc8", "bvlc_alexnet's name: its weights would be loaded"
    for path in (f"table2/{arm}_solver.prototxt", f"table2/{arm}_train_val.prototxt"):
        assert "Open in the paper and ours" in prototxt(path).read_text()


@pytest.mark.parametrize("arm", ARMS)
def test_names_tell_the_arms_apart(arm):
    solver = solver_of(arm)
    assert solver.net == f"{arm}_train_val.prototxt"
    assert solver.snapshot_prefix == arm
    assert list(solver.weights) == ([] if arm == "scratch" else ["bvlc_alexnet.caffemodel"])


@pytest.mark.parametrize("arm", ARMS)
def test_the_net_learns_what_the_table_says(arm):
    """Built, without the data layers and the 57 million random numbers: what is frozen keeps no gradient."""
    param = net_of(arm)
    shipped = [layer.name for layer in param.layer if layer.type != "Data"]
    for layer in param.layer:
        layer.convolution_param.ClearField("weight_filler")
        layer.inner_product_param.ClearField("weight_filler")
    del param.layer[:2]
    data = 'layer { name: "data" type: "Input" top: "data" top: "label" input_param { %s } }'
    shapes = "shape { dim: 1 dim: 3 dim: 227 dim: 227 } shape { dim: 1 }"
    (source,) = parse_text(data % shapes, pb.NetParameter).layer
    param.layer.insert(0, source)
    net = Net(param, phase="TRAIN")
    assert [node.name for node in net.nodes] == ["data", *(name for name in shipped if name != "accuracy")]
    learning = {node.tops[0] for node in net.nodes if any(blob.requires_grad for blob in node.layer.blobs)}
    assert learning == {name for name, rate in zip(LAYERS, TABLE[arm][1:-1]) if rate}


def test_it_reads_its_databases_in_both_phases(tmp_path, monkeypatch):
    """The shipped net as it is, but for a smaller batch and cheaper fillers."""
    monkeypatch.chdir(tmp_path)
    for name in ("train_lmdb", "val_lmdb"):
        image_database(tmp_path / name, images(2, (3, 256, 256)))
    write_mean(tmp_path / "imagenet_mean.binaryproto", np.full((3, 256, 256), 117.0))
    param = net_of("fc7-fc8")
    for layer in param.layer:
        layer.data_param.batch_size = 1
        layer.convolution_param.ClearField("weight_filler")
        layer.inner_product_param.ClearField("weight_filler")
    for phase, outputs in (("TRAIN", {"loss"}), ("TEST", {"accuracy", "loss"})):
        tops = Net(param, phase=phase, seed=1)()
        assert set(tops) == outputs
        assert tops["loss"].item() == pytest.approx(np.log(2), rel=1e-6), "no weights: both classes are equally likely"


def test_the_files_are_what_the_tool_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_prototxt.py", "--to", str(tmp_path)])
    make_prototxt.main()
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.prototxt")}
    assert len([path for path in written if path.parts[0] == "table2"]) == 18
    for path, text in written.items():
        assert (ROOT / "prototxt" / path).read_text() == text, "run python tools/make_prototxt.py"


def test_the_tool_for_another_application(tmp_path, monkeypatch):
    """The paper's interface segmentation: 3 classes, 80 % of 200,000 patches."""
    settings = {"--classes": 3, "--last-layer": "fc8_imt", "--samples": 160_000, "--validation": 40_000}
    settings |= {"--batch": 96, "--epochs": 12, "--to": tmp_path}
    arguments = [str(part) for pair in settings.items() for part in pair]
    monkeypatch.setattr("sys.argv", ["make_prototxt.py", *arguments])
    make_prototxt.main()
    solver = read_solver(tmp_path / "table2" / "scratch_solver.prototxt")
    assert list(solver.stepvalue) == epoch_steps(160_000, 96, 12)
    assert solver.max_iter == 20_000  # 12 epochs of 1666.7 iterations
    assert list(solver.test_iter) == [800]
    net = read_net(tmp_path / "table2" / "scratch_train_val.prototxt")
    assert net.layer[0].data_param.batch_size == 96
    last = [layer for layer in net.layer if layer.param][-1]
    assert (last.name, last.inner_product_param.num_output) == ("fc8_imt", 3)


@pytest.mark.parametrize("arguments", [["--batch", "0"], ["--epochs", "0"], ["--samples", "127"]])
def test_the_tool_refuses_a_schedule_that_multistep_cannot_express(monkeypatch, capsys, tmp_path, arguments):
    monkeypatch.setattr("sys.argv", ["make_prototxt.py", *arguments, "--to", str(tmp_path)])
    with pytest.raises(SystemExit):
        make_prototxt.main()
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


# -- Eq. 2's rates ----------------------------------------------------------------------------------------------------

#: |X|, N and epochs: whole, ragged, the polyp task with other batches, one iteration per epoch, N just below |X|.
SIZES = [
    (12, 4, 9),
    (10, 4, 9),
    (80_000, 96, 4),
    (80_001, 128, 4),
    (1_000, 3, 6),
    (7, 7, 20),
    (100, 99, 300),
    (5, 1, 9),
]


@pytest.mark.parametrize(("samples", "batch", "epochs"), SIZES)
def test_multistep_is_eq_2_at_every_iteration(samples, batch, epochs):
    """To the bit: gamma^floor(t N / |X|), in double precision of single precision settings, rounded once."""
    base, gamma = np.float32(0.001), np.float32(0.95)
    steps = epoch_steps(samples, batch, epochs)
    param = pb.SolverParameter(base_lr=base, gamma=gamma, lr_policy="multistep", stepvalue=steps)
    schedule = LearningRate(param)
    end = -(-epochs * samples // batch)
    for t in range(end):
        expected = np.float32(float(base) * float(gamma) ** (t * batch // samples))
        assert schedule.rate(t) == expected, f"iteration {t} of {end}"
    assert schedule.current_step == epochs - 1
    assert epoch_steps(samples, batch, epochs + 1) == [*steps, end]


def test_step_is_not_eq_2_for_ragged_sizes():
    """Why the arms say multistep: two and a half iterations per epoch."""
    assert epoch_steps(10, 4, 5) == [3, 5, 8, 10]


@pytest.mark.parametrize(("samples", "batch", "epochs"), SIZES)
def test_the_tool_and_the_library_have_one_formula(samples, batch, epochs):
    schedule = make_prototxt.Schedule(samples, samples, batch, 50, epochs)
    param = parse_text(make_prototxt.arm_solver("fc8", schedule), pb.SolverParameter)
    assert list(param.stepvalue) == epoch_steps(samples, batch, epochs)
    assert param.max_iter == epoch_steps(samples, batch, epochs + 1)[-1]


@pytest.mark.parametrize(
    ("sizes", "cause"),
    [
        ((10, 11, 3), "batch of 11"),
        ((0, 1, 3), "samples is 0"),
        ((9, -1, 3), "batch is -1"),
        ((9, 1, 0), "epochs is 0"),
    ],
)
def test_sizes_that_cannot_be_scheduled(sizes, cause):
    with pytest.raises(SolverError, match=cause):
        epoch_steps(*sizes)
