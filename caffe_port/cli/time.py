"""``caffe-port time``."""

from __future__ import annotations

import warnings

import click

from caffe_port.cli.gflags import CaffeCommand
from caffe_port.cli.options import (
    choose_device,
    gpu_option,
    level_option,
    log_to_stderr,
    split_stages,
    stage_option,
    unknown,
    unknown_option,
    weights_option,
)


@click.command(
    cls=CaffeCommand,
    short_help="Measure how long each layer of a net takes.",
    epilog="Example: caffe-port time --model deploy.prototxt --iterations 10",
)
@click.option("--model", required=True, metavar="FILE", help="The net prototxt.")
@click.option("--iterations", default=50, show_default=True, type=click.IntRange(1), help="Number of passes.")
@click.option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST"]),
    default="TRAIN",
    show_default=True,
    help="The phase whose layers are run.",
)
@weights_option
@gpu_option
@level_option
@stage_option
@unknown_option
def time(
    model: str,
    iterations: int,
    phase: str,
    weights: str | None,
    gpu: str | None,
    level: int,
    stage: str,
    allow_unknown: bool,
) -> None:
    """Measure the forward and backward pass of a net, layer by layer, and log the means in milliseconds.

    Inputs without data are zero. Training is faster than the sum of its layers here, for it runs the net as a whole.
    """
    from caffe_port.errors import CaffeWarning
    from caffe_port.log import log
    from caffe_port.net import Net
    from caffe_port.net.timing import time_net

    log_to_stderr()
    device = choose_device(gpu)
    log.info("Use GPU with device ID %d", device.index) if device.type == "cuda" else log.info("Use CPU.")
    net = Net(model, None, phase, level, split_stages(stage), unknown=unknown(allow_unknown))
    for name in weights.split(",") if weights else ():
        net.load(name.strip())
    if not any(node.need_backward for node in net.nodes):
        warnings.warn("The net has no loss, so its backward pass does nothing.", CaffeWarning, stacklevel=2)
    timing = time_net(net.to(device), iterations)
    log.info("Average time per layer: ")
    for layer in timing.layers:
        log.info("%10s\tforward: %g ms.", layer.name, layer.forward)
        log.info("%10s\tbackward: %g ms.", layer.name, layer.backward)
    log.info("Average Forward pass: %g ms.", timing.forward)
    log.info("Average Backward pass: %g ms.", timing.backward)
    log.info("Average Forward-Backward: %g ms.", timing.total / iterations)
    log.info("Total Time: %g ms.", timing.total)
    log.info("*** Benchmark ends ***")
