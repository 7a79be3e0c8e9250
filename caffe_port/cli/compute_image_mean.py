"""``caffe-port compute-image-mean``."""

from __future__ import annotations

import click

from caffe_port.cli.gflags import GflagsCommand
from caffe_port.cli.options import log_to_stderr


@click.command(
    "compute-image-mean",
    cls=GflagsCommand,
    short_help="Compute the mean image of a database.",
    epilog="Example: caffe-port compute-image-mean train_lmdb mean.binaryproto",
)
@click.argument("database", metavar="INPUT_DB")
@click.argument("output", metavar="[OUTPUT_FILE]", required=False)
@click.option(
    "--backend",
    type=click.Choice(["lmdb", "leveldb"]),
    help="What kind of database it is.  [default: what the folder holds]",
)
def compute_image_mean(database: str, output: str | None, backend: str | None) -> None:
    """Compute the mean of all images in a database, for mean_file, and log the mean of each channel."""
    from caffe_port.cli.progress import Progress
    from caffe_port.data import mean as means
    from caffe_port.log import log
    from caffe_port.proto.means import write_mean

    log_to_stderr()
    with Progress(unit="images") as progress:
        mean = means.compute_image_mean(database, backend and backend.upper(), progress=progress.count)
    if output:
        log.info("Write to %s", output)
        write_mean(output, mean)
    log.info("Number of channels: %d", len(mean))
    for channel, value in enumerate(means.channel_means(mean)):
        log.info("mean_value channel [%d]: %g", channel, value)
