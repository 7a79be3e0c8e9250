"""Resume to the bit: N steps straight equal N/2, a snapshot, a new process, N/2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeWarning, SnapshotError
from caffe_port.solver import Solver
from caffe_port.solver.sidecar import sidecar_path
from tests.shared import ROOT

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 7 mirror: true mean_value: 120 scale: 0.02 }
  data_param { source: "db" batch_size: 6 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 7 } data_param { source: "db" batch_size: 5 backend: LMDB } }
layer { name: "more" type: "HDF5Data" top: "more" include { phase: TRAIN }
  hdf5_data_param { source: "list.txt" batch_size: 6 shuffle: true } }
layer { name: "mute" type: "Silence" bottom: "more" include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" test_iter: 2 test_interval: 3 base_lr: 0.01 lr_policy: "multistep" gamma: 0.5
stepvalue: 3 stepvalue: 7 max_iter: 10 snapshot_prefix: "snap" weight_decay: 0.001
"""
RULES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9",
    "Adam": "momentum: 0.9",
}
#: Run in a process of its own: restore if asked to, step, snapshot.
PROGRAM = """
import sys
from caffe_port.solver import Solver
solver = Solver("solver.prototxt")
if sys.argv[1] != "-":
    solver.restore(sys.argv[1])
solver.param.snapshot_prefix = sys.argv[2]
solver.step(int(sys.argv[3]))
solver.snapshot()
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

    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["more"] = random.normal(size=(7, 2)).astype(np.float32)
    (tmp_path / "list.txt").write_text("a.h5\nb.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        check=True,
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", ["random_seed: 5", ""], ids=["seed", "no seed"])
def test_resume_to_the_bit(folder, rule, seed):
    (folder / "solver.prototxt").write_text(f'{SOLVER} type: "{rule}" {RULES[rule]} {seed}')
    run("-", "half", 5)
    if not seed:  # the straight run has the seed that the first one drew; the first five steps are its own
        drawn = json.loads(Path("half_iter_5.solverstate.json").read_text())["seed"]
        (folder / "solver.prototxt").write_text(f'{SOLVER} type: "{rule}" {RULES[rule]} random_seed: {drawn}')
    run("-", "straight", 10)
    if not seed:
        (folder / "solver.prototxt").write_text(f'{SOLVER} type: "{rule}" {RULES[rule]}')
    run("half_iter_5.solverstate", "resumed_", 5)
    for kind in ("caffemodel", "solverstate", "solverstate.json"):
        straight = Path(f"straight_iter_10.{kind}").read_bytes()
        assert Path(f"resumed__iter_10.{kind}").read_bytes() == straight.replace(b"straight", b"resumed_"), kind


def test_without_sidecar_it_warns_and_starts_the_data_anew(folder):
    (folder / "solver.prototxt").write_text(SOLVER + "momentum: 0.9 random_seed: 5")
    solver = Solver("solver.prototxt")
    solver.step(2)
    _, state = solver.snapshot()
    sidecar_path(state).unlink()
    again = Solver("solver.prototxt")
    with pytest.warns(CaffeWarning, match="start anew"):
        again.restore(state)
    assert again.iteration == 2
    assert again.net.layer("data").passes == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"iteration": 2}', b'{"iteration": 2, "seed": -1, "passes": []}', b"\xff\x00", b"[" * 100000],
)
def test_damaged_sidecar(folder, content):
    (folder / "solver.prototxt").write_text(SOLVER + "momentum: 0.9 random_seed: 5")
    solver = Solver("solver.prototxt")
    solver.step(2)
    _, state = solver.snapshot()
    sidecar_path(state).write_bytes(content)
    again = Solver("solver.prototxt")
    before = [p.blob.detach().clone() for p in again.net.params]
    with pytest.raises(SnapshotError, match=r"solverstate\.json.*Remove it to resume without"):
        again.restore(state)
    assert again.iteration == 0
    assert all((a == p.blob).all() for a, p in zip(before, again.net.params))


def test_sidecar_of_another_iteration(folder):
    (folder / "solver.prototxt").write_text(SOLVER + "momentum: 0.9 random_seed: 5")
    solver = Solver("solver.prototxt")
    solver.step(2)
    _, state = solver.snapshot()
    record = json.loads(sidecar_path(state).read_text())
    sidecar_path(state).write_text(json.dumps({**record, "iteration": 3}))
    with pytest.raises(SnapshotError, match="of iteration 3, the state of 2"):
        Solver("solver.prototxt").restore(state)
