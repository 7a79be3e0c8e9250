"""``caffe-port parse-log``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "parse-log",
    short_help="Turn a training log into CSV tables.",
    epilog="Example: caffe-port parse-log train.log tables",
)
@click.argument("log", metavar="LOG", type=click.Path(path_type=Path))
@click.argument("folder", metavar="[OUT_DIR=.]", type=click.Path(path_type=Path), default=".")
@click.option("--delimiter", default=",", show_default=True, metavar="CHAR", help="What separates the columns.")
@click.option("--verbose", is_flag=True, help="Print the names of the files written.")
def parse_log(log: Path, folder: Path, delimiter: str, verbose: bool) -> None:
    """Write the train and test outputs in LOG, of Caffe or caffe-port, as OUT_DIR/LOG.train and OUT_DIR/LOG.test.

    The columns are those of Caffe's parse_log.py: NumIters, Seconds, LearningRate, then every output.
    """
    from caffe_port.log_tables import write_tables

    for path in write_tables(log, folder, delimiter):
        if verbose:
            click.echo(f"Wrote {path}")
