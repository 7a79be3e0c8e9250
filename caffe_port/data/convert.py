"""A database of Datums from a list of images. Caffe: tools/convert_imageset.cpp, util/io.cpp."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.data.database import new_database
from caffe_port.data.datum import array_to_datum
from caffe_port.data.images import read_image, to_hwc
from caffe_port.data.sources import read_image_list
from caffe_port.errors import CaffeWarning, DataError
from caffe_port.log import log
from caffe_port.proto import pb

#: Records between two log lines.
LOG_EVERY = 1000
#: Called with the number of images that are done and that of all images.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageOptions:
    """What becomes of every image on its way into the database.

    :param gray: one channel instead of three.
    :param resize_height: with ``resize_width`` the size that images get (bilinear); 0 leaves them as they are.
    :param check_size: refuse an image with another number of values than the first.
    :param encoded: store image files instead of pixels; so does an ``encode_type``.
    :param encode_type: ``png``, ``jpg``, ...; empty: that of each file's name.
    """

    gray: bool = False
    resize_height: int = 0
    resize_width: int = 0
    check_size: bool = False
    encoded: bool = False
    encode_type: str = ""


@dataclass
class Conversion:
    """What :func:`convert_imageset` did: the number of records, and the paths that could not be read."""

    count: int = 0
    skipped: list[str] = field(default_factory=list)


def convert_imageset(
    root_folder: str,
    list_file: str | Path,
    database: str | Path,
    options: ImageOptions | None = None,
    *,
    backend: str = "LMDB",
    shuffle: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Make the new database ``database`` of the images in ``list_file``, whose lines are ``<path> <integer label>``.

    The key of a record is the number of its line (after shuffling, eight digits), ``_`` and the path as listed. Without
    ``shuffle`` every key and value is that of Caffe's convert_imageset. An image that cannot be read is left out: the
    log names it and a warning counts them.

    Deviates from Caffe: the order of ``shuffle`` follows from ``seed``; a conversion that fails leaves no database,
    nor does one that could read no image; ``check_size`` works with encoded images too (Caffe refuses the second one);
    a file name without suffix, of which ``encoded`` could tell no encoding, is an error.

    :param root_folder: put before every path as it is: a folder needs its slash.
    :param backend: ``LMDB`` or ``LEVELDB``.
    :param seed: of ``shuffle``; None: from the operating system.
    :raises DataError: the list cannot be read, the database exists or cannot be written, images differ in size under
        ``check_size``, OpenCV does not know the encoding.
    """
    options = options or ImageOptions()
    lines = read_image_list(list_file)
    _check_labels(lines, list_file)
    if shuffle:
        seed = rng.fresh_seed() if seed is None else seed
        log.info("Shuffling data (seed %d)", seed)
        lines = [lines[i] for i in rng.numpy_generator(seed, "convert_imageset").permutation(len(lines))]
    log.info("A total of %d images.", len(lines))
    if options.encode_type and not options.encoded:
        log.info("encode_type specified, assuming encoded=true.")
    converter = _Converter(root_folder, options)
    done = Conversion()
    with new_database(database, backend) as writer:
        for number, (name, label) in enumerate(lines):
            datum = converter.datum(name, label)
            if datum is None:
                done.skipped.append(root_folder + name)
            else:
                writer.put(b"%08d_" % number + os.fsencode(name), datum.SerializeToString())
                done.count += 1
                if done.count % LOG_EVERY == 0:
                    log.info("Processed %d files.", done.count)
            if progress:
                progress(number + 1, len(lines))
        if done.count % LOG_EVERY:
            log.info("Processed %d files.", done.count)
        if not done.count:
            remedy = "The root folder is put before each path as it is: does it end in a slash?"
            raise DataError(f"None of its {len(lines)} images could be read.", remedy=remedy, file=list_file)
    converter.warn(done)
    return done


def _check_labels(lines: list[tuple[str, int]], list_file: str | Path) -> None:
    """Refuse labels that a Datum cannot hold."""
    for number, (_, label) in enumerate(lines, 1):
        if not -(2**31) <= label < 2**31:
            raise DataError(f"Label {label} is no 32-bit integer.", file=list_file, line=number)


class _Converter:
    """Makes one Datum after the other, and remembers what the whole needs."""

    def __init__(self, root_folder: str, options: ImageOptions) -> None:
        self.root_folder = root_folder
        self.options = options
        self.height, self.width = max(options.resize_height, 0), max(options.resize_width, 0)
        if bool(self.height) != bool(self.width):
            text = "Images are resized only if both resize_height and resize_width are set."
            warnings.warn(text, CaffeWarning, stacklevel=3)
        self.kept = 0  # files stored as they are
        self._first: tuple[str, int] | None = None

    def datum(self, name: str, label: int) -> Any | None:
        """The Datum of the image ``name``, or None (and a log line) if it cannot be read."""
        path = self.root_folder + name
        try:
            pixels = read_image(path, self.height, self.width, not self.options.gray)
        except DataError as error:
            log.error("%s Skipped.", error)
            return None
        if self.options.check_size:
            self._check_size(path, pixels.size)
        encoding = self._encoding(name)
        if encoding:
            return pb.Datum(data=self._encode(path, pixels, encoding), label=label, encoded=True)
        datum = array_to_datum(pixels, label)
        datum.encoded = False  # Caffe writes the field, so its bytes are part of the record
        return datum

    def _check_size(self, path: str, size: int) -> None:
        first, wanted = self._first = self._first or (path, size)
        if size != wanted:
            text = f"Incorrect data field size: {size} values, but {wanted} in '{first}'."
            raise DataError(text, remedy="Resize the images to one size (resize_height, resize_width).", file=path)

    def _encoding(self, name: str) -> str:
        """The encoding to store ``name`` in; empty for pixels."""
        if self.options.encode_type or not self.options.encoded:
            return self.options.encode_type
        suffix = _suffix(name)
        if not suffix:
            text = f"Failed to guess the encoding of '{name}'."
            raise DataError(text, remedy="Give an encode_type, such as png.", file=self.root_folder + name)
        return suffix

    def _encode(self, path: str, pixels: np.ndarray, encoding: str) -> bytes:
        """The file itself if it is of this encoding and not resized, else the pixels encoded anew.

        Caffe compares the colour of the decoded image, which is always as asked for, so that even under ``gray`` the
        file of a colour image is stored as it is.
        """
        wanted, suffix = encoding.lower(), _suffix(path)
        if not self.height and not self.width and (suffix == wanted or (wanted, suffix) == ("jpg", "jpeg")):
            self.kept += 1
            return Path(path).read_bytes()
        try:
            known, data = cv2.imencode(f".{encoding}", to_hwc(pixels))
        except cv2.error as error:
            known, reason = False, error.err
        else:
            reason = "the encoder failed"
        if not known:
            text = f"cannot be encoded as '{encoding}': {reason}."
            raise DataError(text, remedy="Choose an encode_type that OpenCV writes: png, jpg, bmp, ...", file=path)
        return data.tobytes()

    def warn(self, done: Conversion) -> None:
        """Sum up what the user should know at the end."""
        if done.skipped:
            total = done.count + len(done.skipped)
            text = f"{len(done.skipped)} of {total} images could not be read and are not in the database."
            warnings.warn(text, CaffeWarning, stacklevel=3)
        if self.kept and self.options.gray:
            text = f"{self.kept} image files are stored as they are: gray does not change their colour."
            warnings.warn(text, CaffeWarning, stacklevel=3)


def _suffix(path: str) -> str:
    """What follows the last dot of ``path``, in lower case; empty without a dot."""
    return path.rpartition(".")[2].lower() if "." in path else ""
