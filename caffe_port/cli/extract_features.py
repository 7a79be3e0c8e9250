"""``caffe-port extract-features``."""

from __future__ import annotations

import click

from caffe_port.cli.options import choose_device, log_to_stderr, unknown, unknown_option
from caffe_port.errors import CaffeError


@click.command(
    "extract-features",
    short_help="Store blobs of a net in databases.",
    epilog="Example: caffe-port extract-features lenet.caffemodel train_val.prototxt ip1,label ip1_lmdb,label_lmdb 100 "
    "lmdb GPU 0",
)
@click.argument("weights", metavar="WEIGHTS")
@click.argument("net", metavar="NET")
@click.argument("blobs", metavar="BLOB[,BLOB]")
@click.argument("databases", metavar="DB[,DB]")
@click.argument("batches", metavar="NUM_BATCHES", type=click.IntRange(1))
@click.argument("backend", metavar="DB_TYPE", type=click.Choice(["lmdb", "leveldb"]))
@click.argument("mode", metavar="[CPU|GPU]", type=click.Choice(["CPU", "GPU"]), default="CPU")
@click.argument("device_id", metavar="[DEVICE_ID=0]", type=click.IntRange(0), default=0)
@unknown_option
def extract_features(
    weights: str,
    net: str,
    blobs: str,
    databases: str,
    batches: int,
    backend: str,
    mode: str,
    device_id: int,
    allow_unknown: bool,
) -> None:
    """Run NUM_BATCHES batches of NET's data and store each BLOB in a database of its own.

    NET is run in TEST phase, and only as far as the blobs need it; its data layer gives the data. DB_TYPE is lmdb or
    leveldb.
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.log import log
    from caffe_port.net import features

    log_to_stderr()
    try:
        device = choose_device(str(device_id) if mode == "GPU" else None)
    except CaffeError as error:
        error.remedy = "Give CPU instead of GPU."
        raise
    log.info("Using GPU, Device_id=%d", device_id) if mode == "GPU" else log.info("Using CPU")
    with Progress(unit="batches") as progress:
        features.extract_features(
            weights,
            net,
            blobs.split(","),
            databases.split(","),
            batches,
            backend=backend.upper(),
            device=device,
            unknown=unknown(allow_unknown),
            progress=progress.count,
        )
    log.info("Successfully extracted the features!")
