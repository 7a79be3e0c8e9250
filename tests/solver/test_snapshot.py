"""Snapshots: the files of real Caffe, and going on from them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe_port.errors import CaffeError, SnapshotError
from caffe_port.proto import pb
from caffe_port.proto.files import read_solver
from caffe_port.proto.solverstate import read_solverstate
from caffe_port.solver import Solver
from tests.shared import ORACLE
from tests.solver.make import LINE, copy_case, solver_param, weights_of

CASES = sorted(path.name for path in (ORACLE / "solvers").glob("sgd_*"))


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    """One of real Caffe's cases as working directory, without the snapshots that Caffe took."""
    folder = copy_case(request.param, tmp_path)
    for path in folder.glob("snap_*"):
        path.unlink()
    monkeypatch.chdir(folder)
    return ORACLE / "solvers" / request.param


def trained(iterations=10):
    solver = Solver("solver.prototxt")
    solver.load_weights("init.caffemodel")
    solver.param.display = 0
    solver.step(iterations)
    return solver


def state_of(solver):
    """Everything a snapshot holds."""
    history = [h.numpy().copy() for per_param in solver.updater.histories for h in per_param]
    return [solver.iteration, solver.learning_rate.current_step, *weights_of(solver.net).values(), *history]


def assert_same(ours, expected):
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected):
        np.testing.assert_array_equal(a, b)


def shape_of(blob):
    return list(blob.shape.dim) or [blob.num, blob.channels, blob.height, blob.width]


# -- files ------------------------------------------------------------------------------------------------------------


def outline(message):
    """A message with every number in its blobs replaced by how many there are."""
    if isinstance(message, pb.SolverState):
        return {
            "fields": [field.name for field, _ in message.ListFields()],
            "iter": message.iter,
            "learned_net": message.learned_net,
            "current_step": message.current_step,
            "history": [(shape_of(blob), len(blob.data)) for blob in message.history],
        }
    return [
        (
            layer.name,
            layer.type,
            list(layer.bottom),
            list(layer.top),
            layer.phase,
            [([field.name for field, _ in b.ListFields()], shape_of(b), len(b.data)) for b in layer.blobs],
        )
        for layer in message.layer
    ]


def outline_hdf5(path):
    def describe(item):
        return (item.shape, item.dtype) if isinstance(item, h5py.Dataset) else None

    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, item: found.__setitem__(name, describe(item)))
        return found


def test_files_are_built_as_real_caffes(case):
    trained()
    expected = sorted(path.name for path in case.glob("snap_iter_10*"))
    written = {path for path in os.listdir() if path.startswith("snap")}
    (sidecar,) = written - set(expected)  # ours alone: real Caffe ignores it
    assert sidecar == f"{expected[-1]}.json"
    assert set(expected) < written
    for name in expected:
        if name.endswith(".h5"):
            assert outline_hdf5(name) == outline_hdf5(case / name)
            continue
        kind = pb.SolverState if name.endswith("state") else pb.NetParameter
        ours, real = (kind.FromString((folder / name).read_bytes()) for folder in (Path(), case))
        assert outline(ours) == outline(real)


def test_values_are_real_caffes(case):
    """After the same ten iterations from the same weights."""
    trained()
    (name,) = (path.name for path in case.glob("snap_iter_10.solverstate*"))
    ours, real = (read_solverstate(folder / name).history for folder in (Path(), case))
    assert any(np.abs(array).max() > 1e-4 for array in real)
    for a, b in zip(ours, real):
        np.testing.assert_allclose(a, b, atol=1e-2 * np.abs(b).max())


def test_lines_of_a_snapshot(tmp_path, caplog):
    for form, kind, suffix in (("BINARYPROTO", "binary proto", ""), ("HDF5", "HDF5", ".h5")):
        caplog.clear()
        solver = Solver(solver_param(f"snapshot_format: {form}", snapshot_prefix=str(tmp_path / "s")))
        with caplog.at_level("INFO", logger="caffe_port"):
            weights, state = solver.snapshot()
        assert caplog.messages == [
            f"Snapshotting to {kind} file {weights}",
            f"Snapshotting solver state to {kind} file {state}",
        ]
        assert (weights.name, state.name) == (f"s_iter_0.caffemodel{suffix}", f"s_iter_0.solverstate{suffix}")


@pytest.mark.parametrize("diffs", [False, True])
def test_snapshot_diff(diffs, tmp_path):
    solver = Solver(solver_param(snapshot_prefix=str(tmp_path / "s"), snapshot_diff=diffs))
    solver.step(1)
    weights, _ = solver.snapshot()
    (blob,) = next(x for x in pb.NetParameter.FromString(weights.read_bytes()).layer if x.name == "ip").blobs
    np.testing.assert_allclose(blob.data, [0.3], rtol=1e-6)
    np.testing.assert_allclose(blob.diff, [-0.3] if diffs else [], rtol=1e-6)  # the update that was applied


# -- snapshot_prefix --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", "models/my.solver"),  # absent: the solver's path without its suffix
        ('snapshot_prefix: "out"', "out/my.solver"),  # a folder: the solver's name in it
        ('snapshot_prefix: "out/"', "out/my.solver"),
        ('snapshot_prefix: "out/x"', "out/x"),
        ('snapshot_prefix: "x"', "x"),
    ],
)
def test_prefix(field, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "net.prototxt").write_text(LINE)
    path = tmp_path / "models" / "my.solver.prototxt"
    path.write_text(f'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 {field}')
    assert read_solver("models/my.solver.prototxt").snapshot_prefix == expected
    Solver("models/my.solver.prototxt").solve()
    assert (tmp_path / f"{expected}_iter_1.solverstate").is_file()
    assert pb.SolverState.FromString((tmp_path / f"{expected}_iter_1.solverstate").read_bytes()).learned_net == (
        f"{expected}_iter_1.caffemodel"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SnapshotError, match="is not writable"):
        Solver(solver_param("snapshot: 1", snapshot_prefix=str(tmp_path / "s")))


# -- restore ----------------------------------------------------------------------------------------------------------


def test_restore_goes_on_where_it_stopped(case):
    """What the snapshot holds is restored to the bit, and so is the run."""
    straight = trained(20)
    (state,) = (name for name in os.listdir() if name.endswith(("_10.solverstate", "_10.solverstate.h5")))
    at_ten = Solver("solver.prototxt")
    at_ten.restore(state)
    assert at_ten.iteration == 10
    assert_same(state_of(at_ten), state_of_file(state, at_ten))
    at_ten.step(10)
    assert_same(state_of(at_ten), state_of(straight))


def state_of_file(state, solver):
    """What the files of ``state`` hold, read with protobuf or h5py alone."""
    weights = state.replace("solverstate", "caffemodel")
    names = list(weights_of(solver.net))
    if state.endswith(".h5"):
        with h5py.File(state) as file, h5py.File(weights) as data:
            history = [file["history"][str(i)][...] for i in range(len(file["history"]))]
            return [file["iter"][0], file["current_step"][0], *(data[f"data/{n}"][...] for n in names), *history]
    message = pb.SolverState.FromString(Path(state).read_bytes())
    blobs = {
        f"{layer.name}/{i}": np.array(blob.data, np.float32).reshape(shape_of(blob))
        for layer in pb.NetParameter.FromString(Path(weights).read_bytes()).layer
        for i, blob in enumerate(layer.blobs)
    }
    history = [np.array(b.data, np.float32).reshape(shape_of(b)) for b in message.history]
    return [message.iter, message.current_step, *(blobs[name] for name in names), *history]


def test_restore_lines(tmp_path, caplog):
    solver = Solver(solver_param("max_iter: 0", snapshot_prefix=str(tmp_path / "s"), snapshot_after_train=False))
    _, state = solver.snapshot()
    with caplog.at_level("INFO", logger="caffe_port"):
        solver.solve(state)
    assert caplog.messages == [
        "Solving line",
        "Learning Rate Policy: fixed",
        f"Restoring previous solver status from {state}",
        "SGDSolver: restoring history",
        "Optimization Done.",
    ]


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_moved_files(form, tmp_path, caplog):
    """learned_net is the path at the time of writing; moved together, the two files still find each other."""
    (tmp_path / "old").mkdir()
    solver = Solver(solver_param(f"snapshot_format: {form}", snapshot_prefix=str(tmp_path / "old" / "s")))
    solver.step(3)
    _, state = solver.snapshot()
    (tmp_path / "old").rename(tmp_path / "new")
    other = Solver(solver_param())
    with caplog.at_level("INFO", logger="caffe_port"):
        other.restore(tmp_path / "new" / state.name)
    assert_same(state_of(other), state_of(solver))
    assert any("is not there; using" in message for message in caplog.messages)


def refused(solver, state, error, match):
    """Restoring ``state`` fails and leaves ``solver`` as it was."""
    before = state_of(solver)
    with pytest.raises(error, match=match):
        solver.restore(state)
    assert_same(state_of(solver), before)


@pytest.fixture
def snapshot(tmp_path):
    """Paths of weights and state of a solver of LINE after 3 iterations, and a fresh solver."""
    solver = Solver(solver_param(snapshot_prefix=str(tmp_path / "s"), momentum=0.9))
    solver.step(3)
    return *solver.snapshot(), Solver(solver_param(momentum=0.9))


def test_weights_that_are_gone(snapshot):
    weights, state, fresh = snapshot
    weights.unlink()
    refused(fresh, state, SnapshotError, "s_iter_3.solverstate: Its weights '.*s_iter_3.caffemodel' are neither there")


@pytest.mark.parametrize("name", ["sgd_fixed", "sgd_batchnorm", "adam"])
def test_snapshot_of_another_net_or_rule(snapshot, name, tmp_path):
    folder = copy_case(name, tmp_path)
    refused(snapshot[2], folder / "snap_iter_10.solverstate", SnapshotError, "Incorrect history blobs: .*1 here")


def test_snapshot_of_another_rule_of_the_same_net(tmp_path, monkeypatch):
    """Adam keeps two arrays per parameter, SGD one."""
    monkeypatch.chdir(copy_case("sgd_fixed", tmp_path))
    adam = copy_case("adam", tmp_path)
    refused(Solver("solver.prototxt"), adam / "snap_iter_10.solverstate", SnapshotError, "12 in the file, 6 here")


def test_weights_of_another_net(snapshot):
    _, state, _ = snapshot
    renamed = Solver(solver_param(net=LINE.replace('name: "ip"', 'name: "fc"'), momentum=0.9))
    refused(renamed, state, CaffeError, "No learnable layer.*s_iter_3.solverstate was taken of another net")


def test_weights_that_lack_a_layer(snapshot, tmp_path):
    """Same histories, but one of two layers is called differently: half a restore is none."""
    two = (
        LINE
        + """layer { name: "%s" type: "InnerProduct" bottom: "ip" top: "o" inner_product_param {
        num_output: 1 bias_term: false weight_filler { type: "constant" value: 1 } } }"""
    )
    first = Solver(solver_param(net=two % "a", snapshot_prefix=str(tmp_path / "two")))
    first.step(1)
    _, state = first.snapshot()
    refused(Solver(solver_param(net=two % "b")), state, CaffeError, "no blobs for 1 learnable layer.*: b.*another net")


@pytest.mark.parametrize("size", [0, 1, 7, -1])
def test_damaged_files(snapshot, size):
    weights, state, fresh = snapshot
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) + size if size < 0 else size])
    refused(fresh, state, CaffeError, "s_iter_3.solverstate")
    state.write_bytes(whole)
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(fresh, state, CaffeError, "s_iter_3.caffemodel")


def test_weights_given_as_state(snapshot):
    weights, _, fresh = snapshot
    refused(fresh, weights, CaffeError, "These are weights")


def test_a_state_without_weights_restores_the_rest(snapshot):
    """Caffe: the weights are left alone when learned_net is not set."""
    _, state, fresh = snapshot
    message = pb.SolverState.FromString(state.read_bytes())
    message.ClearField("learned_net")
    state.write_bytes(message.SerializeToString())
    before = weights_of(fresh.net)
    fresh.restore(state)
    assert fresh.iteration == 3
    assert weights_of(fresh.net) == before


def test_a_failed_write_leaves_the_old_files(snapshot, monkeypatch, tmp_path):
    weights, state, fresh = snapshot
    old = weights.read_bytes(), state.read_bytes()
    fresh.param.snapshot_prefix, fresh.iteration = str(tmp_path / "s"), 3
    shutil.copy(weights, tmp_path / "backup")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CaffeError, match="cannot be written: No space left"):
        fresh.snapshot()
    assert (weights.read_bytes(), state.read_bytes()) == old
