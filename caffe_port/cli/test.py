"""``caffe-port test``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from caffe_port.cli.gflags import CaffeCommand
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
)


@click.command(
    cls=CaffeCommand,
    short_help="Score a net on the batches of its data layers.",
    epilog="Example: caffe-port test --model train_val.prototxt --weights lenet.caffemodel --iterations 100",
)
@click.option("--model", required=True, metavar="FILE", help="The net prototxt; its TEST phase is run.")
@click.option("--weights", required=True, metavar="FILE", help="The weights: .caffemodel or .caffemodel.h5.")
@click.option("--iterations", default=50, show_default=True, type=click.IntRange(1), help="Number of batches.")
@level_option
@stage_option
@click.option("--allow-missing", is_flag=True, help="Run although the weights lack a learnable layer.")
@gpu_option
@unknown_option
def test(
    model: str,
    weights: str,
    iterations: int,
    level: int,
    stage: str,
    allow_missing: bool,
    gpu: str | None,
    allow_unknown: bool,
) -> None:
    """Score a net: run batches of its data layers and print the mean of every output."""
    from caffe_port.log import log
    from caffe_port.net import Net
    from caffe_port.solver.evaluate import evaluate
    from caffe_port.solver.report import log_means

    log_to_stderr()
    report_known(weights)
    device = choose_device(gpu)
    log.info("Use GPU with device ID %d", device.index) if device.type == "cuda" else log.info("Use CPU.")
    net = Net(
        model,
        weights,
        "TEST",
        level,
        split_stages(stage),
        unknown=unknown(allow_unknown),
        missing="log" if allow_missing else "error",
    ).to(device)
    log.info("Running for %d iterations.", iterations)

    def each(batch: int, loss: float, outputs: Mapping[str, Any]) -> None:
        for name, values in outputs.items():
            for value in values:
                log.info("Batch %d, %s = %g", batch, name, value)

    result = evaluate(net, iterations, each=each)
    log.info("Loss: %g", result.loss)
    log_means(net, result.means)
