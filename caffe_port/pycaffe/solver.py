"""pycaffe's solvers over :class:`~caffe_port.solver.Solver` (Caffe: _caffe.cpp)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from caffe_port import solver as training
from caffe_port.errors import SolverError
from caffe_port.proto.files import read_solver
from caffe_port.pycaffe import mode
from caffe_port.pycaffe.net import Net

if TYPE_CHECKING:
    from caffe_port.pycaffe.nccl import NCCL


class Solver:
    """A solver whose nets show their blobs: ``net``, ``test_nets``, ``iter``, ``step``, ``solve``, snapshots.

    Made by :func:`get_solver`, or as one of the classes named by Caffe's solver types, whatever ``type`` the file
    gives. Steps run on the fast path, layer by layer only where something is hooked into ``net``; data and diffs of
    blobs are carried over when Python asks for them.

    :raises CaffeError: the file or one of its nets is at fault.
    """

    #: the solver type
    type: ClassVar[str]

    def __init__(self, solver_file: str | Path) -> None:
        self._set_up(read_solver(solver_file), solver_file)

    def _set_up(self, param: Any, source: str | Path) -> None:
        param.type = self.type
        seed = mode.seed()
        if param.random_seed < 0 and seed is not None:
            param.random_seed = seed
        self._solver = training.Solver(param, device=mode.device(), source=source, ranks=mode.ranks())
        self.net = Net(self._solver.net)
        self.test_nets = [Net(net) for net in self._solver.test_nets]
        views = {id(view._net): view for view in (self.net, *self.test_nets)}
        self._solver.run = lambda net, backward: views[id(net)]._pass(net, backward)

    @property
    def iter(self) -> int:
        """Number of updates applied so far."""
        return self._solver.iteration

    @property
    def param(self) -> Any:
        """The SolverParameter. A ``base_lr`` written to it counts from the next update on."""
        return self._solver.param

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._solver.learning_rate.peek(self.iter)

    def step(self, iterations: int) -> None:
        """Train for that many iterations, with the tests, display and snapshots that fall due."""
        self._train(lambda: self._solver.step(iterations))

    def solve(self, resume_file: str | Path | None = None) -> None:
        """Train up to max_iter, from the state file ``resume_file`` if one is given."""
        self._train(lambda: self._solver.solve(resume_file))

    def apply_update(self) -> None:
        """Change the weights by what the diffs hold now, without any pass, and count the iteration."""
        self._train(self._solver.apply_update)

    def _train(self, work: Callable[[], None]) -> None:
        self.net._push()
        work()
        self._solver.updater.show_steps()
        self.net._pull()

    def add_callback(
        self, on_start: Callable[[], object] | NCCL, on_gradients_ready: Callable[[], object] | None = None
    ) -> None:
        """Call ``on_start()`` before the passes of every iteration and ``on_gradients_ready()`` before its update.

        :param on_start: an :class:`~caffe_port.pycaffe.nccl.NCCL` alone has both.
        """
        start = getattr(on_start, "on_start", on_start)
        ready = on_gradients_ready or getattr(on_start, "on_gradients_ready", None)
        if not (callable(start) and callable(ready)):
            raise SolverError("add_callback takes two functions, on_start and on_gradients_ready, or an NCCL.")
        self._solver.on_start.append(lambda: self._visit(start))
        self._solver.on_gradients_ready.append(lambda: self._visit(ready))

    def _visit(self, callback: Callable[[], object]) -> None:
        self.net._pull()
        callback()
        self.net._push()

    def share_weights(self, net: Net) -> None:
        """Let ``net`` use the learnable blobs of the training net's layers of the same names."""
        net.share_with(self.net)

    def snapshot(self) -> None:
        """Write weights and solver state."""
        self.net._push()
        self._solver.snapshot()

    def restore(self, path: str | Path) -> None:
        """Continue from a state file."""
        self._solver.restore(path)
        self.net._pull()


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum (the paper's Eq. 2)."""

    type = "SGD"


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient."""

    type = "Nesterov"


class AdaGradSolver(SGDSolver):
    """AdaGrad."""

    type = "AdaGrad"


class RMSPropSolver(SGDSolver):
    """RMSProp."""

    type = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    """AdaDelta."""

    type = "AdaDelta"


class AdamSolver(SGDSolver):
    """Adam."""

    type = "Adam"


_SOLVERS = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)


def get_solver(solver_file: str | Path) -> Solver:
    """The solver that a solver prototxt describes, of the class that its ``type`` names.

    :raises CaffeError: the file or one of its nets is at fault.
    """
    param = read_solver(solver_file)
    known = {cls.type: cls for cls in _SOLVERS}
    if param.type not in known:
        cause = f"Unknown solver type: '{param.type}'."
        raise SolverError(cause, file=solver_file, remedy=f"Known: {', '.join(known)}.")
    solver = known[param.type].__new__(known[param.type])
    solver._set_up(param, solver_file)
    return solver
