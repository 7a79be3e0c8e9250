"""The training loop (Caffe: solver.cpp)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.errors import CaffeError, ParallelError, SolverError
from caffe_port.log import log
from caffe_port.memory import keep_freed_memory
from caffe_port.net import Net
from caffe_port.net.debug import DebugInfo
from caffe_port.proto.files import read_solver
from caffe_port.proto.text import format_text
from caffe_port.solver import nets, snapshot
from caffe_port.solver.evaluate import evaluate, share_weights
from caffe_port.solver.lr_policy import LearningRate
from caffe_port.solver.parallel import Ranks
from caffe_port.solver.passes import Passed, run_pass, zero_inputs
from caffe_port.solver.report import SmoothedLoss, log_outputs
from caffe_port.solver.updater import Updater

ACTIONS = CONTINUE, STOP, SNAPSHOT = "continue", "stop", "snapshot"


class Solver:
    """Trains a net as a solver file says.

    :param solver: path of a solver prototxt, or a SolverParameter message (upgraded).
    :param device: where to compute; None: the CPU.
    :param unknown: ``"warn"`` accepts unknown prototxt fields with a warning.
    :param source: the file that a given message was read from, for error messages.
    :param ranks: the processes that train together, see :mod:`~caffe_port.solver.parallel`; None: this one alone.
    :raises CaffeError: the solver or one of its nets is at fault.

    ``net`` and ``test_nets`` share their weights. ``iteration`` is the number of updates applied so far.
    ``action`` may be replaced by a function that is asked after every iteration and test batch what to do next:
    :data:`CONTINUE`, :data:`STOP` or :data:`SNAPSHOT`. ``feed`` gives a net's Input layers their tensors (without it
    they are zero, as in Caffe), and ``run`` does a pass over a net, backward too if told, and returns its outputs and
    loss. ``on_start`` and ``on_gradients_ready`` are called before the passes of an iteration and before its update
    (Solver::Callback); ``progress`` sees the iteration and the loss.

    On the CPU the process is told to keep the memory that it frees (see :mod:`caffe_port.memory`).

    Of several processes the first alone has test nets, writes snapshots, and is asked for the action, just before the
    update; constructing, restoring, loading and training are done by all of them together.
    """

    def __init__(
        self,
        solver: str | Path | Any,
        *,
        device: torch.device | str | None = None,
        unknown: str = "error",
        source: str | Path | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        if isinstance(solver, (str, Path)):
            source, solver = solver, read_solver(solver, unknown=unknown)
        self.source = source
        self.param: Any = solver
        log.info("Initializing solver from parameters: \n%s", format_text(self.param))
        self.device = torch.device(device or "cpu")
        if self.device.type == "cpu":
            keep_freed_memory()
        self.ranks = ranks or Ranks()
        self.action: Callable[[], str] = lambda: CONTINUE
        self.feed: Callable[[Net], Mapping[str, Tensor]] = zero_inputs
        self.run: Callable[[Net, bool], Passed] = self._run
        self.on_start: list[Callable[[], None]] = []
        self.on_gradients_ready: list[Callable[[], None]] = []
        self.progress: Callable[[int, float], None] = lambda iteration, loss: None
        try:
            self._check()
            seed = self.param.random_seed
            self.seed = self.ranks.share(seed if seed >= 0 else rng.fresh_seed())
            choice = nets.train_net(self.param, unknown)
            log.info("Creating training net %s %s", "from" if choice.source else "specified in", choice)
            self.net = choice.build(self.seed, self.ranks.rank, self.ranks.world).to(self.device)
            for names in self.param.weights:
                _finetune(self.net, names)
            self.ranks.broadcast(self.net.parameters())
            self.test_nets: list[Net] = []
            if self.ranks.first:
                for choice in nets.evaluation_nets(self.param, unknown):
                    self._add_test_net(choice)
            self.learning_rate = LearningRate(self.param)
            self.updater = Updater(self.param, self.net.params)
        except ParallelError:
            raise
        except CaffeError as error:
            raise error.at(file=self.source) from None
        self.iteration = 0
        self.stopped_early = False
        self._loss = SmoothedLoss(self.param.average_loss)
        self._last_display = (0, time.monotonic())
        log.info("Solver scaffolding done.")

    def _check(self) -> None:
        if self.param.average_loss < 1:
            raise SolverError(f"average_loss is {self.param.average_loss}.", remedy="It must be 1 or more.")
        if self.param.iter_size < 1:
            raise SolverError(f"iter_size is {self.param.iter_size}.", remedy="It must be 1 or more.")
        if self.param.snapshot and self.ranks.first:
            if not self.param.HasField("snapshot_prefix"):
                raise SolverError("snapshot is given but snapshot_prefix is not.", remedy="Give both or none.")
            snapshot.check_writable(self.param.snapshot_prefix)

    def _add_test_net(self, choice: nets.NetChoice) -> None:
        log.info("Creating test net (#%d) specified by %s", len(self.test_nets), choice)
        net = choice.build(self.seed).to(self.device)
        ours = {node.name for node in self.net.nodes}
        if any(param.owner.name not in ours for param in net.params):  # layers that only testing has
            for names in self.param.weights:
                _finetune(net, names)
        share_weights(self.net, net)
        net.debug_info = DebugInfo(net) if self.param.debug_info else None
        self.test_nets.append(net)

    # -- weights ------------------------------------------------------------------------------------------------------

    def load_weights(self, names: str) -> None:
        """Fine-tune: copy the weights of the files in ``names`` (separated by commas) by layer name."""
        _finetune(self.net, names)
        self.ranks.broadcast(self.net.parameters())

    def snapshot(self) -> tuple[Path, Path]:
        """Write ``<prefix>_iter_<n>`` weights and solver state; return the two paths."""
        return snapshot.write(self)

    def restore(self, path: str | Path) -> None:
        """Continue from a ``.solverstate`` (or ``.solverstate.h5``): weights, histories and iteration.

        :raises CaffeError: it cannot be read, or is of another net or solver type. Nothing is changed then.
        """
        snapshot.restore(self, path)
        self.ranks.broadcast(self.net.parameters())

    # -- training -----------------------------------------------------------------------------------------------------

    def solve(self, resume: str | Path | None = None) -> None:
        """Train up to ``max_iter`` with tests, display and snapshots, then snapshot, show a last loss and test."""
        log.info("Solving %s", self.net.net_name)
        log.info("Learning Rate Policy: %s", self.param.lr_policy)
        self.stopped_early = False
        if resume is not None:
            log.info("Restoring previous solver status from %s", resume)
            self.restore(resume)
        if self.param.snapshot_after_train and self.ranks.first:
            snapshot.check_writable(self.param.snapshot_prefix)
        start = self.iteration
        self.step(self.param.max_iter - self.iteration)
        every = self.param.snapshot
        if self.param.snapshot_after_train and (not every or self.iteration % every):
            self.snapshot()
        if self.stopped_early:
            log.info("Optimization stopped early.")
            return
        if self.param.display and self.iteration % self.param.display == 0:
            _, loss = self.run(self.net, False)
            self._loss.add(float(loss), self.iteration - start)
            log.info("Iteration %d, loss = %g", self.iteration, self._loss.value)
        if self.param.test_interval and self.iteration % self.param.test_interval == 0:
            self.test_all()
        log.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Do that many iterations: each one or more forward and backward passes and one update."""
        start = self.iteration
        self._loss = SmoothedLoss(self.param.average_loss)
        self._last_display = (self.iteration, time.monotonic())
        while self.iteration < start + iterations:
            self.updater.clear()
            interval = self.param.test_interval
            if interval and self.iteration % interval == 0 and (self.iteration or self.param.test_initialization):
                self.test_all()
                self.stopped_early = bool(self.ranks.share(self.stopped_early))
                if self.stopped_early:
                    return
            request = self._iterate(self.iteration - start)
            every = self.param.snapshot
            if (every and self.iteration % every == 0) or request == SNAPSHOT:
                self.snapshot()
            if request == STOP:
                self.stopped_early = True
                return

    def _iterate(self, done: int) -> str:
        """One iteration, number ``done`` of this run; the action that is due after it."""
        display = self.ranks.first and bool(self.param.display) and self.iteration % self.param.display == 0
        self.net.debug_info = DebugInfo(self.net) if display and self.param.debug_info else None
        for callback in self.on_start:
            callback()
        losses: list[Tensor | float] = []
        for _ in range(self.param.iter_size):
            blobs, loss = self.run(self.net, True)
            losses.append(loss)
        if display:
            self._add_losses(losses, done)
            self._display(blobs)
        agreed = self._average_gradients() if self.ranks.world > 1 else None
        for callback in self.on_gradients_ready:
            callback()
        self.apply_update(display)
        if not display:  # only now, so that a GPU need not wait for the update to be sent
            self._add_losses(losses, done)
        self.progress(self.iteration, self._loss.value)
        return agreed or self.action()

    def _add_losses(self, losses: list[Tensor | float], done: int) -> None:
        self._loss.add(sum(map(float, losses)) / len(losses), done)

    def apply_update(self, display: bool = False) -> None:
        """Change the weights by the gradients that the parameters have now, and count the iteration.

        (Caffe: SGDSolver::ApplyUpdate.)

        :param display: whether to log the rate.
        """
        rate = self.learning_rate.rate(self.iteration)
        if display:
            log.info("Iteration %d, lr = %g", self.iteration, rate)
        self.updater.apply(rate, self.iteration)
        self.iteration += 1

    def _average_gradients(self) -> str:
        """Let every process have the mean gradients; the action that the first one is asked for travels with them."""
        request = self.action() if self.ranks.first else CONTINUE
        weights = [param.blob for param in self.net.params if param.blob.requires_grad]
        return ACTIONS[self.ranks.average(weights, ACTIONS.index(request))]

    def _run(self, net: Net, backward: bool) -> Passed:
        return run_pass(net, self.feed(net), backward=backward, keep=net.outputs)

    def _display(self, blobs: Mapping[str, Tensor]) -> None:
        last, since = self._last_display
        seconds = time.monotonic() - since
        speed = (self.iteration - last) / (seconds or 1)
        log.info(
            "Iteration %d (%g iter/s, %gs/%d iters), loss = %g",
            self.iteration, speed, seconds, self.param.display, self._loss.value,
        )  # fmt: skip
        self._last_display = (self.iteration, time.monotonic())
        values = {name: blobs[name].detach().float().cpu().numpy().ravel() for name in self.net.outputs}
        log_outputs("Train", self.net, values)

    # -- testing ------------------------------------------------------------------------------------------------------

    def test_all(self) -> list[dict[str, np.ndarray]]:
        """Test every test net on the present weights; the mean of each output blob by name, net by net."""
        results = []
        for index in range(len(self.test_nets)):
            if self.stopped_early:
                break
            results.append(self.test(index))
        return results

    def test(self, index: int = 0) -> dict[str, np.ndarray]:
        """Test net ``index`` over its ``test_iter`` batches and log the means (Caffe: Solver::Test)."""
        log.info("Iteration %d, Testing net (#%d)", self.iteration, index)
        net = self.test_nets[index]
        result = evaluate(net, self.param.test_iter[index], lambda net: self.run(net, False), self._go_on)
        if self.stopped_early:
            log.info("Test interrupted.")
            return {}
        if self.param.test_compute_loss:
            log.info("Test loss: %g", result.loss)
        log_outputs("Test", net, result.means)
        return result.means

    def _go_on(self) -> bool:
        """Between test batches: snapshot when asked to; False when training is to stop."""
        request = self.action()
        if request == SNAPSHOT:
            self.snapshot()
        self.stopped_early |= request == STOP
        return not self.stopped_early


def _finetune(net: Net, names: str) -> None:
    for name in map(str.strip, names.split(",")):
        if not name:
            raise SolverError(f"A file name in the list of weights '{names}' is empty.", remedy="Mend the list.")
        log.info("Finetuning from %s", name)
        net.load(name, missing="log")
