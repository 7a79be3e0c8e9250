"""``caffe-port convert``: weights from and to other formats."""

from __future__ import annotations

import click

from caffe_port.cli.options import dialect_option, unknown, unknown_option


@click.command(
    "convert",
    short_help="Convert weights from and to other formats.",
    epilog="Example: caffe-port convert weights.caffemodel weights.safetensors --net deploy.prototxt",
)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--net", metavar="NET", help="The net (.prototxt) whose weights these are.")
@click.option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST"], case_sensitive=False),
    default="TEST",
    show_default=True,
    help="Phase in which NET is built.",
)
@dialect_option
@unknown_option
def convert(source: str, target: str, net: str | None, phase: str, dialect: str | None, allow_unknown: bool) -> None:
    """Convert the weights IN to OUT; the suffixes tell the formats.

    From and to .caffemodel (of any age, also NVIDIA's fp16), .caffemodel.h5, .safetensors, .pt or .pth (a plain
    state_dict) and .npz. Only to .onnx, and to PyTorch source (a folder: a name without suffix), both of which need
    --net.

    With --net, tensors have the names and shapes of the net's state_dict(), and a .caffemodel is complete. Without it
    names are <layer>.<blob> by the layer types in IN.
    """
    from caffe_port.convert import convert as run
    from caffe_port.convert.state import listed

    done = run(source, target, net, phase.upper(), dialect, unknown(allow_unknown))
    layers = f"{done.layers} layer{'s' if done.layers != 1 else ''}"
    click.echo(
        f"{source}: {layers}, {done.parameters:,} parameters converted to {target} ({done.bytes:,} bytes)"
        + (f"; left out: {listed(done.left_out)}." if done.left_out else ".")
    )
