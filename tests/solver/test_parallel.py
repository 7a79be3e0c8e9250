"""Training in several processes: what they draw, what they exchange, and that two of batch B are one of 2B."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeWarning, LayerError, ParallelError
from caffe_port.layers.base import LayerContext
from caffe_port.net import Net
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.solver import Solver, parallel
from caffe_port.solver.parallel import Place, Ranks, join
from tests.shared import ROOT
from tests.solver.make import solver_param, weights_of

#: Random crops, mirrors and shuffles are part of it: they belong to the item, whichever process gets it.
DATA = """
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { crop_size: 7 mirror: true mean_value: 120 scale: 0.02 }
  data_param { source: "db" batch_size: %d backend: LMDB } }
"""
HDF5 = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "list.txt" batch_size: %d shuffle: true } }
"""
HEAD = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 0 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
%s
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }'
SOLVER = (
    'net: "net.prototxt" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 snapshot_prefix: "snap" '
)
#: One process: restore if asked to, step, snapshot; leave its seed and its weights.
PROGRAM = """
import sys
import numpy as np
from caffe_port.solver import Solver
from caffe_port.solver.parallel import Place, join
from tests.solver.make import weights_of
with join(Place.from_environment()) as ranks:
    solver = Solver("solver.prototxt", ranks=ranks)
    if sys.argv[1] != "-":
        solver.restore(sys.argv[1])
    solver.param.snapshot_prefix = sys.argv[2]
    solver.step(int(sys.argv[3]))
    solver.snapshot()
    assert len(solver.test_nets) == 0
    np.savez(f"{sys.argv[2]}{ranks.rank}.npz", seed=solver.seed, **weights_of(solver.net))
"""
#: Every process has its own gradients; the second weight has none in process 1, the third none at all.
AVERAGE = """
import torch
from caffe_port.solver import parallel
parallel.BUCKET_ELEMENTS = 7
with parallel.join(parallel.Place.from_environment()) as ranks:
    weights = [torch.zeros(shape, requires_grad=True) for shape in ((2, 3), (4,), (1,), (2, 3, 2, 2))]
    weights[0].grad = torch.full((2, 3), 1.0 + ranks.rank)
    weights[1].grad = torch.arange(4.0) if ranks.first else None
    ramp = torch.arange(24.0).view(2, 3, 2, 2) * (3 - 2 * ranks.rank)
    weights[3].grad = ramp.contiguous(memory_format=torch.channels_last)
    assert ranks.average(weights, 2 - ranks.rank) == 2
    assert weights[0].grad.tolist() == [[1.5] * 3] * 2
    assert weights[1].grad.tolist() == [0, 0.5, 1, 1.5]
    assert weights[2].grad.tolist() == [0]
    assert torch.equal(weights[3].grad, 2 * torch.arange(24.0).view(2, 3, 2, 2))
    assert ranks.average([], 1 + ranks.rank) == 1
    assert ranks.share(5 + ranks.rank) == 5
    weights[3].data = (ramp + ranks.rank).contiguous(memory_format=torch.channels_last)
    ranks.broadcast(weights)
    assert torch.equal(weights[3], 3 * torch.arange(24.0).view(2, 3, 2, 2))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    with DatabaseWriter(tmp_path / "db", "LMDB") as database:
        for i in range(17):  # no multiple of the batch
            image = random.integers(0, 256, (3, 9, 10), dtype=np.uint8)
            database.put(b"%08d" % i, array_to_datum(image, int(i % 3)).SerializeToString())
        database.commit()
    import h5py

    for name, rows in (("a", 7), ("b", 4)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"] = random.normal(size=(rows, 3, 7, 7)).astype(np.float32)
            file["label"] = random.integers(0, 3, rows).astype(np.float32)
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def processes(program, folder, *arguments, world=2):
    """Run ``program`` in ``world`` processes that meet in ``folder``."""
    store = folder / "store"
    store.unlink(missing_ok=True)
    started = []
    for rank in range(world):
        place = Place(rank, world, rank, world, store.as_uri())
        environment = {**os.environ, **place.environment(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=folder, env=environment))
    assert [process.wait(120) for process in started] == [0] * world


def alone(net, solver, steps):
    """The weights after ``steps`` of one process in this one."""
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(solver)
    training = Solver("solver.prototxt")
    training.step(steps)
    return weights_of(training.net)


@pytest.mark.parametrize(
    ("data", "more", "world"),
    [
        (DATA, "", 2),
        (HDF5, "", 2),
        (HDF5, 'iter_size: 2 clip_gradients: 0.05 type: "Nesterov"', 2),
        (DATA, 'type: "Adam" momentum2: 0.99 delta: 1e-3', 3),
    ],
    ids=["Data", "HDF5Data", "iter_size and clipping", "three processes"],
)
def test_processes_of_batch_b_are_one_of_their_sum(folder, data, more, world):
    solver = f"{SOLVER} random_seed: 5 snapshot: 1 {more}"
    head = HEAD % ""
    expected = {steps: alone(data % (4 * world) + head, solver, steps) for steps in (1, 5)}
    Path("net.prototxt").write_text(data % 4 + head)
    processes(PROGRAM, folder, "-", "two", 5, world=world)
    for steps, tolerance in ((1, 1e-6), (5, 5e-6)):
        largest = max(np.abs(w).max() for w in expected[steps].values())
        found = weights_of(Net("net.prototxt", f"two_iter_{steps}.caffemodel", "TRAIN"))
        for key, wanted in expected[steps].items():
            np.testing.assert_allclose(found[key], wanted, 0, tolerance * largest, err_msg=f"{key}, step {steps}")
    same_weights(*(f"two{rank}.npz" for rank in range(world)))


def same_weights(*files):
    first, *others = (dict(np.load(file)) for file in files)
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[key], other[key]) for key in first)
    return first


@pytest.mark.parametrize("data", [DATA, HDF5], ids=["Data", "HDF5Data"])
def test_resume_to_the_bit(folder, data):
    Path("net.prototxt").write_text(data % 3 + HEAD % DROPOUT)
    Path("solver.prototxt").write_text(SOLVER)
    processes(PROGRAM, folder, "-", "half", 3)
    seed = int(same_weights("half0.npz", "half1.npz")["seed"])  # drawn by process 0
    processes(PROGRAM, folder, "half_iter_3.solverstate", "resumed_", 3)
    Path("solver.prototxt").write_text(f"{SOLVER} random_seed: {seed}")
    processes(PROGRAM, folder, "-", "straight", 6)
    same_weights("straight0.npz", "straight1.npz", "resumed_0.npz", "resumed_1.npz")
    for kind in ("caffemodel", "solverstate", "solverstate.json"):
        straight = Path(f"straight_iter_6.{kind}").read_bytes()
        assert Path(f"resumed__iter_6.{kind}").read_bytes() == straight.replace(b"straight", b"resumed_"), kind
    with pytest.warns(CaffeWarning, match="was taken by 2 processes, there are 1 now"):
        Solver("solver.prototxt").restore("half_iter_3.solverstate")


def test_exchange(folder):
    processes(AVERAGE, folder)


def test_each_process_draws_its_own_numbers():
    """Caffe: random_seed + rank. Fillers are common: rank 0's weights count."""
    text = """
    layer { name: "d" type: "DummyData" top: "d"
      dummy_data_param { shape { dim: 50 } data_filler { type: "gaussian" } } }
    layer { name: "drop" type: "Dropout" bottom: "d" top: "e" }
    layer { name: "ip" type: "InnerProduct" bottom: "e" top: "ip" inner_product_param { num_output: 1 axis: 0
      weight_filler { type: "gaussian" } } } """
    param = parse_text(text.encode(), pb.NetParameter)
    assert LayerContext(seed=4, rank=2, world=3).own_seed == 6
    one = Net(param, phase="TRAIN", seed=6)
    first, other = (Net(param, phase="TRAIN", seed=4, rank=rank, world=3) for rank in (0, 2))
    for name in ("d", "e"):
        wanted, own, second = (net.run({}, keep=None)[0][name].detach() for net in (one, first, other))
        assert (second == wanted).all()
        assert (own != wanted).any()
        for net in (one, first, other):  # the second time draws again
            for node in net.nodes:
                node.layer.passes = 0
    assert (first.layer("ip").blobs[0] == other.layer("ip").blobs[0]).all()


def test_one_file_cannot_be_written_by_several(folder):
    text = """
    layer { name: "d" type: "DummyData" top: "d" top: "e" dummy_data_param { shape { dim: 2 } } }
    layer { name: "out" type: "HDF5Output" bottom: "d" bottom: "e" hdf5_output_param { file_name: "out.h5" } } """
    param = parse_text(text.encode(), pb.NetParameter)
    with pytest.raises(LayerError, match=r"'out' \(HDF5Output\): .*several processes"):
        Net(param, phase="TRAIN", rank=1, world=2)


def test_alone_nothing_is_exchanged():
    solver = Solver(solver_param(snapshot_after_train=False), ranks=Ranks())
    solver.action = lambda: "stop"
    solver.step(5)
    assert solver.iteration == 1  # asked after the update
    with join(Place(0, 1, 0, 1, "nowhere:")) as ranks:
        assert (ranks.rank, ranks.world, ranks.share(3)) == (0, 1, 3)


def test_place():
    place = Place(3, 4, 1, 2, "file:///store")
    assert Place.from_environment(place.environment()) == place
    assert Place.from_environment({}) is None
    assert Place.from_environment({"RANK": "0", "WORLD_SIZE": "2"}) == Place(0, 2, 0, 1, "env://")


@pytest.mark.parametrize("wrong", [{"RANK": "2"}, {"RANK": "-1"}, {"WORLD_SIZE": "two"}, {"LOCAL_RANK": "1"}])
def test_contradicting_place(wrong):
    with pytest.raises(ParallelError, match=r"contradict one another: RANK=.*Unset them"):
        Place.from_environment({"RANK": "0", "WORLD_SIZE": "2", **wrong})


def test_the_others_never_come(folder, monkeypatch):
    monkeypatch.setattr(parallel, "JOIN_TIME", timedelta(seconds=0.3))
    with pytest.raises(ParallelError, match="Process 0 of 2 cannot reach the others"):
        join(Place(0, 2, 0, 2, (folder / "store").as_uri()))
