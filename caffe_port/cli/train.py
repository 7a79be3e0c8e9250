"""``caffe-port train``."""

from __future__ import annotations

import click

from caffe_port.cli.options import (
    choose_device,
    gpu_option,
    log_to_stderr,
    unknown,
    unknown_option,
    weights_option,
)
from caffe_port.errors import CaffeError


@click.command(
    short_help="Train a net as a solver file says.",
    epilog="Example: caffe-port train --solver solver.prototxt --weights bvlc_alexnet.caffemodel",
)
@click.option("--solver", required=True, metavar="FILE", help="The solver prototxt.")
@click.option("--snapshot", metavar="FILE", help="Resume from this .solverstate or .solverstate.h5.")
@weights_option
@gpu_option
@unknown_option
def train(solver: str, snapshot: str | None, weights: str | None, gpu: str | None, allow_unknown: bool) -> None:
    """Train a net as a solver file says, from scratch, from weights (fine-tuning) or from a snapshot.

    Log lines go to standard error in the form that Caffe's log parsers read. Relative paths in the prototxt files are
    meant from the working directory, as in Caffe.
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.log import log
    from caffe_port.proto.files import read_solver
    from caffe_port.solver import Solver

    if snapshot and weights:
        raise CaffeError(
            "Both --snapshot and --weights are given.",
            remedy="Give a snapshot to resume training or weights to fine-tune, not both.",
        )
    log_to_stderr()
    param = read_solver(solver, unknown=unknown(allow_unknown))
    if snapshot or weights:
        del param.weights[:]
    if weights:
        param.weights.append(weights)
    device = choose_device(gpu, param)
    log.info("Using GPUs %d", device.index) if device.type == "cuda" else log.info("Use CPU.")
    training = Solver(param, device=device, unknown=unknown(allow_unknown), source=solver)
    if snapshot:
        log.info("Resuming from %s", snapshot)
        training.restore(snapshot)
    log.info("Starting Optimization")
    with Progress(total=param.max_iter) as progress:
        training.progress = progress
        training.solve()
    log.info("Optimization Done.")
