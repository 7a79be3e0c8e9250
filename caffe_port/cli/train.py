"""``caffe-port train``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import click

from caffe_port.cli.gflags import CaffeCommand
from caffe_port.cli.options import (
    choose_devices,
    level_option,
    log_to_stderr,
    report_known,
    split_stages,
    stage_option,
    unknown,
    unknown_option,
    weights_option,
)
from caffe_port.errors import CaffeError

if TYPE_CHECKING:
    from caffe_port.solver.parallel import Place, Ranks

EFFECTS = click.Choice(["stop", "snapshot", "none"])


@click.command(
    cls=CaffeCommand,
    short_help="Train a net as a solver file says.",
    epilog="Example: caffe-port train --solver solver.prototxt --weights bvlc_alexnet.caffemodel",
)
@click.option("--solver", required=True, metavar="FILE", help="The solver prototxt.")
@click.option("--snapshot", metavar="FILE", help="Resume from this .solverstate or .solverstate.h5.")
@weights_option
@click.option(
    "--gpu",
    metavar="ID[,ID]|all",
    help="Compute on this GPU; several train together, as do the processes that torchrun starts. Without it: the CPU, "
    "unless the solver file sets solver_mode: GPU.",
)
@click.option("--procs", type=click.IntRange(1), metavar="N", help="Train on the CPU with N processes together.")
@click.option(
    "--tf32",
    is_flag=True,
    help="Let a GPU round the factors of convolutions and products to ten bits: faster, but no longer Caffe's numbers.",
)
@level_option
@stage_option
@click.option(
    "--sigint_effect",
    type=EFFECTS,
    default="stop",
    show_default=True,
    help="What Ctrl-C does at the end of the iteration; 'stop' takes a snapshot first.",
)
@click.option(
    "--sighup_effect", type=EFFECTS, default="snapshot", show_default=True, help="The same for the signal HUP."
)
@click.option("--iterations", type=int, hidden=True)
@unknown_option
def train(
    solver: str,
    snapshot: str | None,
    weights: str | None,
    gpu: str | None,
    procs: int | None,
    tf32: bool,
    level: int,
    stage: str,
    sigint_effect: str,
    sighup_effect: str,
    iterations: int | None,
    allow_unknown: bool,
) -> None:
    """Train a net as a solver file says, from scratch, from weights (fine-tuning) or from a snapshot.

    Log lines go to standard error in the form that Caffe's log parsers read. Relative paths in the prototxt files are
    meant from the working directory, as in Caffe. Flags may be spelled as Caffe's (-solver=x, --noflag).

    Of several processes each trains on batches of its own, of the size that the net gives; gradients are averaged.
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.log import log
    from caffe_port.precision import use_float32
    from caffe_port.solver import Solver
    from caffe_port.solver.parallel import Place
    from caffe_port.solver.signals import SignalActions

    place = Place.from_environment()
    with ExitStack() as stack:
        stack.enter_context(_voice(place))
        if iterations is not None:
            warnings.warn("train ignores --iterations, as Caffe does: the solver's max_iter counts.", stacklevel=1)
        param = _solver_param(solver, snapshot, weights, unknown(allow_unknown))
        param.train_state.level = level
        param.train_state.stage.extend(split_stages(stage))
        ranks = _together(stack, place, choose_devices(gpu, procs, param, place))
        use_float32(tf32)
        training = Solver(param, device=ranks.device, unknown=unknown(allow_unknown), source=solver, ranks=ranks)
        if snapshot:
            log.info("Resuming from %s", snapshot)
            training.restore(snapshot)
        log.info("Starting Optimization")
        if ranks.first:
            training.action = stack.enter_context(SignalActions(sigint=sigint_effect, sighup=sighup_effect))
            training.progress = stack.enter_context(Progress(total=param.max_iter))
        training.solve()
        log.info("Optimization Done.")


def _voice(place: Place | None) -> AbstractContextManager[None]:
    """Show the log, or, in a process that is not the first, nothing but errors."""
    from caffe_port.cli.launch import silent_worker

    if place is not None and place.rank:
        return silent_worker(place)
    log_to_stderr()
    return nullcontext()


def _solver_param(solver: str, snapshot: str | None, weights: str | None, unknown: str) -> Any:
    """The solver file, with the weights that the flags ask for instead of its own."""
    from caffe_port.proto.files import read_solver

    if snapshot and weights:
        raise CaffeError(
            "Both --snapshot and --weights are given.",
            remedy="Give a snapshot to resume training or weights to fine-tune, not both.",
        )
    param = read_solver(solver, unknown=unknown)
    if snapshot or weights:
        del param.weights[:]
    if weights:
        param.weights.append(weights)
        report_known(weights)
    return param


def _together(stack: ExitStack, place: Place | None, devices: Sequence[Any]) -> Ranks:
    """Start the processes of the other ``devices``, unless torchrun has, and meet them."""
    from caffe_port.cli.launch import Workers, same_command
    from caffe_port.log import log
    from caffe_port.solver.parallel import Ranks, join

    on_gpu = devices[0].type == "cuda"
    log.info("Using GPUs %s", ", ".join(str(d.index) for d in devices)) if on_gpu else log.info("Use CPU.")
    if place is None and len(devices) > 1:
        place = stack.enter_context(Workers(same_command(click.get_current_context()), len(devices)))
    if place is None:
        return Ranks(device=devices[0])
    return stack.enter_context(join(place, devices[place.local_rank]))
