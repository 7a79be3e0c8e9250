"""``caffe-port train``."""

from __future__ import annotations

import warnings

import click

from caffe_port.cli.gflags import GflagsCommand
from caffe_port.cli.options import (
    choose_device,
    gpu_option,
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

EFFECTS = click.Choice(["stop", "snapshot", "none"])


@click.command(
    cls=GflagsCommand,
    short_help="Train a net as a solver file says.",
    epilog="Example: caffe-port train --solver solver.prototxt --weights bvlc_alexnet.caffemodel",
)
@click.option("--solver", required=True, metavar="FILE", help="The solver prototxt.")
@click.option("--snapshot", metavar="FILE", help="Resume from this .solverstate or .solverstate.h5.")
@weights_option
@gpu_option
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
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.log import log
    from caffe_port.proto.files import read_solver
    from caffe_port.solver import Solver
    from caffe_port.solver.signals import SignalActions

    if snapshot and weights:
        raise CaffeError(
            "Both --snapshot and --weights are given.",
            remedy="Give a snapshot to resume training or weights to fine-tune, not both.",
        )
    log_to_stderr()
    if iterations is not None:
        warnings.warn("train ignores --iterations, as Caffe does: the solver's max_iter counts.", stacklevel=1)
    param = read_solver(solver, unknown=unknown(allow_unknown))
    if snapshot or weights:
        del param.weights[:]
    if weights:
        param.weights.append(weights)
        report_known(weights)
    param.train_state.level = level
    param.train_state.stage.extend(split_stages(stage))
    device = choose_device(gpu, param)
    log.info("Using GPUs %d", device.index) if device.type == "cuda" else log.info("Use CPU.")
    training = Solver(param, device=device, unknown=unknown(allow_unknown), source=solver)
    if snapshot:
        log.info("Resuming from %s", snapshot)
        training.restore(snapshot)
    log.info("Starting Optimization")
    signals = SignalActions(sigint=sigint_effect, sighup=sighup_effect)
    with signals, Progress(total=param.max_iter) as progress:
        training.action = signals
        training.progress = progress
        training.solve()
    log.info("Optimization Done.")
