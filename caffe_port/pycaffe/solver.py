"""pycaffe's solvers over :class:`~caffe_port.solver.Solver` (Caffe: _caffe.cpp)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from caffe_port import net as core
from caffe_port import solver as training
from caffe_port.proto.files import read_solver
from caffe_port.pycaffe import mode
from caffe_port.pycaffe.net import Net


class Solver:
    """A solver whose nets show their blobs: ``net``, ``test_nets``, ``iter``, ``step``, ``solve``, snapshots.

    Steps run on the fast path; data and diffs of blobs are carried over when Python asks for them.
    """

    def __init__(self, path: str | Path) -> None:
        param = read_solver(path)
        seed = mode.seed()
        if param.random_seed < 0 and seed is not None:
            param.random_seed = seed
        self._solver = training.Solver(param, device=mode.device(), source=path)
        self.net = Net(self._solver.net)
        self.test_nets = [Net(net) for net in self._solver.test_nets]
        self._views = {id(view._net): view for view in (self.net, *self.test_nets)}
        self._solver.feed = self._feed
        self._solver.observe = self._observe

    @property
    def iter(self) -> int:
        """Number of updates applied so far."""
        return self._solver.iteration

    def step(self, iterations: int) -> None:
        """Train for that many iterations, with the tests, display and snapshots that fall due."""
        self.net._push()
        self._solver.step(iterations)
        self._solver.updater.show_steps()
        self.net._pull()

    def solve(self, resume: str | Path | None = None) -> None:
        """Train up to max_iter, from the state file ``resume`` if one is given."""
        self.net._push()
        self._solver.solve(resume)
        self._solver.updater.show_steps()
        self.net._pull()

    def snapshot(self) -> None:
        """Write weights and solver state."""
        self.net._push()
        self._solver.snapshot()

    def restore(self, path: str | Path) -> None:
        """Continue from a state file."""
        self._solver.restore(path)
        self.net._pull()

    def _feed(self, net: core.Net) -> dict[str, Tensor]:
        blobs = self._views[id(net)]._run.blobs
        return {name: blobs[name].value() for name in net.inputs}

    def _observe(self, data: dict[str, Tensor], traced: dict[str, Tensor]) -> None:
        inputs = self.net.inputs
        self.net._run.show(
            {name: value for name, value in data.items() if name not in inputs},
            {name: tensor.grad for name, tensor in traced.items() if tensor.grad is not None},
        )


def get_solver(path: str | Path) -> Solver:
    """The solver that a solver prototxt describes.

    :raises CaffeError: the file or one of its nets is at fault.
    """
    return Solver(path)
