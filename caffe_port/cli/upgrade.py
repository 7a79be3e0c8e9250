"""``caffe-port upgrade``: rewrite an old net or solver in the current form."""

from __future__ import annotations

from pathlib import Path

import click

from caffe_port.cli.options import dialect_option, unknown
from caffe_port.proto import (
    net_needs_upgrade,
    read_message,
    solver_needs_upgrade,
    upgrade_net,
    upgrade_solver,
    write_binary,
    write_text,
)
from caffe_port.proto.files import is_text_file

_SUFFIXES = {".prototxt": "text", ".txt": "text", ".binaryproto": "binary", ".caffemodel": "binary"}


@click.command(
    "upgrade",
    short_help="Rewrite an old net or solver in the current form.",
    epilog="Example: caffe-port upgrade old_train_val.prototxt train_val.prototxt",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    type=click.Choice(["text", "binary"]),
    help="Form of OUT.  [default: by its suffix (.prototxt, .caffemodel, .binaryproto), else that of IN]",
)
@dialect_option
@click.option("--allow-unknown", is_flag=True, help="Skip fields that Caffe does not have, with a warning each.")
def upgrade(source: Path, target: Path, form: str | None, dialect: str | None, allow_unknown: bool) -> None:
    """Rewrite the net or solver IN, of any age, in Caffe's current form as OUT.

    Does what Caffe's upgrade_net_proto_text, upgrade_net_proto_binary and upgrade_solver_proto_text do: V0 and V1
    layers, old data fields, input fields, BatchNorm params and solver_type. Weights inside IN are kept.
    """
    kind, message = read_message(source, unknown(allow_unknown), dialect)
    was_old = (net_needs_upgrade if kind == "net" else solver_needs_upgrade)(message)
    (upgrade_net if kind == "net" else upgrade_solver)(message, source)
    form = form or _SUFFIXES.get(target.suffix) or ("text" if is_text_file(source) else "binary")
    (write_text if form == "text" else write_binary)(message, target)
    state = "upgraded" if was_old else "already in the current form, written unchanged"
    click.echo(f"{source}: {kind} {state} to {target} ({form}).")
