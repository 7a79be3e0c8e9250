"""``caffe-port plot-log``."""

from __future__ import annotations

from pathlib import Path

import click

from caffe_port.errors import CaffeError


@click.command(
    "plot-log",
    short_help="Draw training logs as a picture.",
    epilog="Example: caffe-port plot-log scratch.log fine_tuned.log -o curves.png --title scratch --title fine-tuned",
)
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PNG", type=click.Path(path_type=Path), help="The picture.  [default: LOG.png]")
@click.option(
    "--title", "titles", multiple=True, metavar="TEXT", help="Title, once per LOG.  [default: the net's name]"
)
def plot_log(logs: tuple[str, ...], output: Path | None, titles: tuple[str, ...]) -> None:
    """Draw training and test loss, accuracy and other outputs, and the learning rate of each LOG as a PNG."""
    from caffe_port import logs as training_logs

    if titles and len(titles) != len(logs):
        raise CaffeError(
            f"--title is given {len(titles)} time(s) for {len(logs)} logs.", remedy="Give it never or once per log."
        )
    path = output or Path(Path(logs[0]).name + ".png")
    training_logs.plot_log([training_logs.read_log(log) for log in logs], path, titles)
    click.echo(f"Wrote {path}")
