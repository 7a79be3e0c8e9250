"""Compare a training with a recorded one: every loss, the first update, the final weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffe_port.errors import FormatError
from caffe_port.net import Net
from caffe_port.parity.difference import Difference, difference
from caffe_port.parity.record import Arrays, read_npz
from caffe_port.parity.report import Row, Status, jsonable
from caffe_port.parity.training_causes import Update, causes, explain_update
from caffe_port.proto.files import read_solver
from caffe_port.solver import Solver

#: Rounding grows from step to step: what losses and the first update may be off; final weights ten times as much.
TOLERANCE = 1e-3
_STAGES = ("init", "after1", "final")


@dataclass(frozen=True)
class TrainingReport:
    """A training beside a recorded one.

    ``losses`` are the loss of every iteration (of its last micro-batch with iter_size). ``rows`` compare learnable
    blobs: of kind ``init`` (at the start), ``after1`` (the first update, not the weights) and ``final``. ``first`` says
    where it diverges first, ``iteration`` (from 1) when; ``explanations`` reproduce the numbers, ``suspects`` are what
    is usually at fault.
    """

    tolerance: float
    losses: tuple[float, ...]
    reference: tuple[float, ...]
    rows: tuple[Row, ...]
    first: str | None = None
    iteration: int | None = None
    explanations: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing diverges."""
        return self.first is None

    def to_json(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return {"agrees": self.agrees, **jsonable(asdict(self))}


@dataclass
class _Run:
    """What our training gave: as the record, and the learning rate of every iteration."""

    losses: list[float]
    init: Arrays
    after1: Arrays
    final: Arrays
    rates: list[float]


def compare_training(
    solver: str | Path,
    reference: str | Path,
    weights: str | Path | None = None,
    *,
    tolerance: float = TOLERANCE,
    unknown: str = "error",
    device: torch.device | str = "cpu",
) -> TrainingReport:
    """Train as long as the record does and compare.

    It runs in the solver's folder, as Caffe is run; without tests and snapshots. It starts from the record's weights.

    :param reference: an ``.npz`` with ``loss`` and ``init/``, ``after1/``, ``final/<layer>/<i>``.
    :param weights: a ``.caffemodel`` that is to be what the record started from.
    :raises CaffeError: a file is at fault, or the record is none of a training.
    """
    recorded = read_npz(reference)
    if recorded.get("loss", np.zeros(())).ndim != 1 or not recorded["loss"].size:
        raise FormatError(
            "holds no 'loss' of several iterations.",
            file=reference,
            remedy="Record one with tools/record_reference.py --solver S --iterations N.",
        )
    path, start = Path(solver).resolve(), None if weights is None else Path(weights).resolve()
    with _folder(path.parent):
        ours = _train(path, recorded, start, unknown, device)
    return _judge(ours, recorded, tolerance, path)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    try:
        if path.is_dir():  # else whoever reads the file says that it is not there
            os.chdir(path)
        yield
    finally:
        os.chdir(before)


def _train(path: Path, recorded: Arrays, weights: Path | None, unknown: str, device: Any) -> _Run:
    param = read_solver(path, unknown=unknown)
    param.snapshot = param.test_interval = 0
    for name in ("test_iter", "test_net", "test_net_param", "test_state"):
        param.ClearField(name)
    solver = Solver(param, device=device, unknown=unknown, source=path)
    if weights is not None:
        solver.load_weights(str(weights))
    init = _weights(solver)
    for layer in {id(node.layer): node.layer for node in solver.net.nodes}.values():
        for index in range(len(layer.blob_names)):
            value = recorded.get(f"init/{layer.name}/{index}")
            if value is not None and value.shape == layer.blob_shapes[index]:
                layer.blob(index).data.copy_(torch.from_numpy(value))
    if weights is None:
        init = _weights(solver)
    one_pass, seen = solver.run, [0.0]

    def listening(net: Net, backward: bool) -> Any:
        outputs, loss = one_pass(net, backward)
        seen[0] = float(loss)
        return outputs, loss

    solver.run = listening
    run = _Run([], init, {}, {}, [])
    for iteration in range(len(recorded["loss"])):
        run.rates.append(solver.learning_rate.peek(iteration))
        solver.step(1)
        run.losses.append(seen[0])
        if iteration == 0:
            run.after1 = _weights(solver)
    run.final = _weights(solver)
    return run


def _weights(solver: Solver) -> Arrays:
    return {
        f"{node.name}/{index}": node.layer.blob(index).detach().cpu().numpy().copy()
        for node in solver.net.nodes
        for index in range(len(node.layer.blob_names))
    }


def _judge(ours: _Run, recorded: Arrays, tolerance: float, solver: Path) -> TrainingReport:
    groups = {stage: _group(recorded, stage) for stage in _STAGES}
    rows = []
    for name, value in groups["init"].items():
        rows.append(_row("init", name, ours.init, value, 0.0))
    for name in groups["after1"].keys() & groups["init"].keys() & ours.after1.keys():
        start, wanted = groups["init"][name], groups["after1"][name]
        update = {name: ours.after1[name] - start} if start.shape == ours.after1[name].shape else ours.after1
        rows.append(_row("after1", name, update, wanted - start, tolerance))
    for name, value in groups["final"].items():
        rows.append(_row("final", name, ours.final, value, 10 * tolerance))
    order = {name: index for index, name in enumerate(ours.init)}
    rows.sort(key=lambda row: (_STAGES.index(row.kind), order.get(row.name, len(order))))
    losses = np.array(ours.losses)
    wrong = np.flatnonzero(~np.isclose(losses, recorded["loss"], rtol=tolerance, equal_nan=True))
    first, iteration = _first(rows, wrong)
    explained: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    if first is not None:
        suspects = tuple(causes(first, iteration, ours.rates, read_solver(solver)))
        if iteration == 1 and "update" in first:
            explained = tuple(explain_update(_updates(ours.after1, groups), tolerance, ours.rates[0]))
    reference = tuple(map(float, recorded["loss"]))
    return TrainingReport(tolerance, tuple(ours.losses), reference, tuple(rows), first, iteration, explained, suspects)


def _updates(after1: Arrays, groups: dict[str, Arrays]) -> dict[str, Update]:
    """Our first update, the reference's and the weights before, where all are known."""
    starts, ends = groups["init"], groups["after1"]
    same = [n for n, start in starts.items() if n in ends and n in after1 and after1[n].shape == start.shape]
    return {name: (after1[name] - starts[name], ends[name] - starts[name], starts[name]) for name in same}


def _group(recorded: Arrays, kind: str) -> Arrays:
    return {key.partition("/")[2]: value for key, value in recorded.items() if key.startswith(f"{kind}/")}


def _row(kind: str, name: str, ours: Arrays, reference: np.ndarray, tolerance: float) -> Row:
    if name not in ours:
        return Row(kind, name, (), "not in the net")
    far: Difference = difference(ours[name], reference)
    status: Status = "agrees" if far.within(tolerance) else "diverges"
    return Row(kind, name, (name.rpartition("/")[0],), status, far, far)


def _first(rows: list[Row], wrong: np.ndarray) -> tuple[str | None, int | None]:
    """What diverges first, in words, and in which iteration (0: before the first)."""
    bad = {stage: [row.name for row in rows if row.kind == stage and row.status != "agrees"] for stage in _STAGES}
    if bad["init"]:
        return f"the weights at the start, first {bad['init'][0]}", 0
    if wrong.size and wrong[0] == 0:
        return "the loss of the first iteration", 1
    if bad["after1"]:
        return f"the first update, first that of {bad['after1'][0]}", 1
    if wrong.size:
        return f"the loss of iteration {wrong[0] + 1}", int(wrong[0]) + 1
    if bad["final"]:
        return f"the final weights, first {bad['final'][0]}", None
    return None, None
