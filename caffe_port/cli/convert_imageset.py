"""``caffe-port convert-imageset``."""

from __future__ import annotations

import click

from caffe_port.cli.gflags import GflagsCommand
from caffe_port.cli.options import log_to_stderr


@click.command(
    "convert-imageset",
    cls=GflagsCommand,
    short_help="Make a database of the images in a list.",
    epilog="Example: caffe-port convert-imageset --resize_height=256 --resize_width=256 --shuffle images/ train.txt "
    "train_lmdb",
)
@click.argument("root_folder", metavar="ROOTFOLDER/")
@click.argument("list_file", metavar="LISTFILE")
@click.argument("database", metavar="DB_NAME")
@click.option("--gray", is_flag=True, help="Read images as greyscale.")
@click.option("--shuffle", is_flag=True, help="Shuffle the images.")
@click.option("--seed", type=click.IntRange(0), help="Seed of --shuffle.  [default: a new one each time]")
@click.option(
    "--backend",
    type=click.Choice(["lmdb", "leveldb"]),
    default="lmdb",
    show_default=True,
    help="What kind of database to make.",
)
@click.option("--resize_width", default=0, help="Width that images are resized to; needs --resize_height.")
@click.option("--resize_height", default=0, help="Height that images are resized to; needs --resize_width.")
@click.option("--check_size", is_flag=True, help="Refuse images of different sizes.")
@click.option("--encoded", is_flag=True, help="Store image files (JPEG, PNG, ...) instead of pixels.")
@click.option(
    "--encode_type", default="", metavar="TYPE", help="Encoding to store, as in 'png' or 'jpg'.  [default: each file's]"
)
def convert_imageset(
    root_folder: str,
    list_file: str,
    database: str,
    backend: str,
    shuffle: bool,
    seed: int | None,
    gray: bool,
    resize_width: int,
    resize_height: int,
    check_size: bool,
    encoded: bool,
    encode_type: str,
) -> None:
    """Make a database for Data layers of the images in LISTFILE, whose lines are "path label".

    ROOTFOLDER/ is put before each path as it is, so a folder needs its slash. Images that cannot be read are named in
    the log and left out.
    """
    from caffe_port.cli.progress import Progress
    from caffe_port.data import convert

    log_to_stderr()
    options = convert.ImageOptions(gray, resize_height, resize_width, check_size, encoded, encode_type)
    with Progress(unit="images") as progress:
        convert.convert_imageset(
            root_folder,
            list_file,
            database,
            options,
            backend=backend.upper(),
            shuffle=shuffle,
            seed=seed,
            progress=progress.count,
        )
