"""``caffe-port surgery``: nets made from other nets."""

from __future__ import annotations

import click

from caffe_port.cli.options import unknown, unknown_option
from caffe_port.errors import NetError

_EXAMPLE = (
    "Example: caffe-port surgery cut train_val.prototxt fc7 head.prototxt --train-source train_fc7 "
    "--train-labels train_label --test-source val_fc7 --test-labels val_label"
)
_CONVOLUTIONAL = (
    "Example: caffe-port surgery fc-to-conv deploy.prototxt alexnet.caffemodel full_conv.prototxt full_conv.caffemodel "
    "--input-size 451 451"
)


@click.group("surgery", epilog=_EXAMPLE)
def surgery() -> None:
    """Make a net from another net."""


@surgery.command("cut", short_help="The layers above a blob, fed from databases.", epilog=_EXAMPLE)
@click.argument("net", metavar="NET")
@click.argument("blob", metavar="BLOB")
@click.argument("head", metavar="HEAD")
@click.option("--train-source", metavar="DB", help="Database of BLOB for the TRAIN phase.")
@click.option("--train-labels", metavar="DB", help="Database of the labels for the TRAIN phase.")
@click.option("--test-source", metavar="DB", help="Database of BLOB for the TEST phase.")
@click.option("--test-labels", metavar="DB", help="Database of the labels for the TEST phase.")
@click.option(
    "--backend",
    type=click.Choice(["lmdb", "leveldb"]),
    default="lmdb",
    show_default=True,
    help="What kind of databases they are.",
)
@click.option(
    "--batch-size",
    "--batch_size",
    type=click.IntRange(1),
    help="Records in a batch.  [default: that of NET's data layers]",
)
@unknown_option
def cut(
    net: str,
    blob: str,
    head: str,
    train_source: str | None,
    train_labels: str | None,
    test_source: str | None,
    test_labels: str | None,
    backend: str,
    batch_size: int | None,
    allow_unknown: bool,
) -> None:
    """Write HEAD, the layers of NET above BLOB, which read BLOB and the labels from databases.

    "caffe-port extract-features" writes these databases. Where nothing below BLOB is to learn, HEAD trains as NET does,
    at a fraction of the cost, and takes the weights of the same files.
    """
    from caffe_port.net.surgery import FeatureSource, cut_net
    from caffe_port.proto import write_text
    from caffe_port.proto.files import read_net

    given = {"TRAIN": (train_source, train_labels), "TEST": (test_source, test_labels)}
    for phase, (source, labels) in given.items():
        if labels and not source:
            raise click.UsageError(f"--{phase.lower()}-labels needs --{phase.lower()}-source.")
    sources = {
        phase: FeatureSource(source, labels, backend.upper()) for phase, (source, labels) in given.items() if source
    }
    try:
        made = cut_net(read_net(net, unknown=unknown(allow_unknown)), blob, sources, batch_size)
    except NetError as error:
        raise error.at(file=net) from None
    write_text(made, head)
    click.echo(f"{head}: {len(made.layer)} layers, {blob} and labels read from databases.")


@surgery.command("fc-to-conv", short_help="A net for images of any size.", epilog=_CONVOLUTIONAL)
@click.argument("net", metavar="NET")
@click.argument("weights", metavar="WEIGHTS")
@click.argument("out_net", metavar="OUT_NET")
@click.argument("out_weights", metavar="OUT_WEIGHTS")
@click.option(
    "--suffix",
    default="-conv",
    show_default=True,
    help="What is added to the names of the layers that change, so that the old weights are not taken for the new.",
)
@click.option(
    "--input-size",
    "--input_size",
    type=(click.IntRange(1), click.IntRange(1)),
    metavar="H W",
    help="Size of the images that OUT_NET takes.  [default: that of NET]",
)
@unknown_option
def fc_to_conv(
    net: str,
    weights: str,
    out_net: str,
    out_weights: str,
    suffix: str,
    input_size: tuple[int, int] | None,
    allow_unknown: bool,
) -> None:
    """Write NET (TEST phase) with convolutions in place of its InnerProduct layers, and its WEIGHTS in their shapes.

    On larger images OUT_NET gives a map, as if NET were slid over the image. Weights are written as .caffemodel, or as
    HDF5 if OUT_WEIGHTS ends in .h5.
    """
    from caffe_port.net.convolutional import fc_to_conv as converted
    from caffe_port.proto import write_text

    net_param, made = converted(net, weights, suffix, input_size, unknown=unknown(allow_unknown))
    made.save(out_weights)
    write_text(net_param, out_net)
    outputs = ", ".join(f"{name} {'x'.join(map(str, made.blob_shapes[name])) or 'scalar'}" for name in made.outputs)
    click.echo(f"{out_net}: gives {outputs}. Its weights are in {out_weights}.")
