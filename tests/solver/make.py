"""Small solvers and nets for the tests of training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.solver import Solver
from tests.shared import ORACLE

#: A net whose loss and gradients do not depend on data: E = mean of (w - 1)^2 / 2 over a batch of ones, by DummyData.
LINE = """
name: "line"
layer { name: "data" type: "DummyData" top: "data" top: "target" dummy_data_param {
  shape { dim: 2 dim: 1 } shape { dim: 2 dim: 1 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 bias_term: false weight_filler { type: "constant" value: 0 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""


def solver_param(text: str = "", net: str | None = LINE, **settings):
    """A SolverParameter with the net inside (None: none), fixed rate and plain SGD unless told otherwise."""
    param = pb.SolverParameter(**{"base_lr": 0.1, "lr_policy": "fixed", "random_seed": 1, **settings})
    param.MergeFrom(parse_text(text.encode(), pb.SolverParameter))
    if net is not None:
        param.net_param.CopyFrom(parse_text(net.encode(), pb.NetParameter))
    return param


def line_solver(text: str = "", **settings) -> Solver:
    """A solver of LINE that takes no snapshots of its own accord."""
    return Solver(solver_param(text, **{"snapshot_after_train": False, **settings}))


def line_losses(count: int, rate: float = 0.1, start: float = 0.0) -> list[float]:
    """The losses of LINE under plain SGD: E = (w - 3)^2 / 2, dE/dw = w - 3."""
    losses, weight = [], start
    for _ in range(count):
        losses.append((weight - 3) ** 2 / 2)
        weight -= rate * (weight - 3)
    return losses


def copy_case(name: str, target: Path) -> Path:
    """A writable copy in ``target`` of one of real Caffe's solver cases."""
    folder = target / name
    shutil.copytree(ORACLE / "solvers" / name, folder)
    return folder


def copy_log_case(target: Path) -> Path:
    """A writable copy in ``target`` of the net and solver of real Caffe's log, with data of the shape it was fed."""
    folder = target / "logs"
    shutil.copytree(ORACLE / "logs", folder)
    for name in ("data.h5", "data.txt"):
        shutil.copy(ORACLE / "solvers" / "sgd_fixed" / name, folder)
    return folder


def weights_of(net) -> dict[str, np.ndarray]:
    """Copies of every learnable blob of ``net``, by layer name and index."""
    return {f"{n.name}/{i}": b.detach().numpy().copy() for n in net.nodes for i, b in enumerate(n.layer.blobs)}


def solver_messages(caplog) -> list[str]:
    """What pytest's ``caplog`` caught of the solver itself (not of the nets that it builds)."""
    files = ("solver.py", "snapshot.py", "report.py")
    return [record.getMessage() for record in caplog.records if record.filename in files]
