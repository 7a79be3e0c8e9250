"""The mean image of a database. Caffe: tools/compute_image_mean.cpp."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from caffe_port.data.database import open_database
from caffe_port.data.datum import decode_record
from caffe_port.errors import DataError
from caffe_port.log import log

#: Images between two log lines.
LOG_EVERY = 10000


def compute_image_mean(
    database: str | Path, backend: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """The mean (C, H, W) of all images of ``database``, float32, added up and divided in float32 as Caffe does.

    Encoded images are decoded with as many channels as they have. As in Caffe only the number of values must be that
    of the first image, which gives the shape.

    Deviates from Caffe: every Datum must itself hold as many values as its dimensions say.

    :param backend: ``LMDB`` or ``LEVELDB``; None: what the folder holds.
    :param progress: called with the number of images that are done and that of all images.
    :raises DataError: the database cannot be read, is empty or of another kind; an image cannot be decoded, or is of
        another size.
    """
    source = open_database(database, backend)
    count = len(source)
    total: np.ndarray | None = None
    log.info("Starting Iteration")
    for number, (key, value) in enumerate(itertools.islice(source.records(), count), 1):
        image, _, name = decode_record(key, value, file=database)
        if total is None:
            total = np.zeros(image.shape, np.float32)
        if image.size != total.size:
            text = f"{name}: incorrect data field size: {image.size} values, but {total.size} in the first record."
            remedy = "A mean needs images of one size: make the database with resize_height and resize_width."
            raise DataError(text, remedy=remedy, file=database)
        total += image.reshape(total.shape)
        if number % LOG_EVERY == 0 or number == count:
            log.info("Processed %d files.", number)
        if progress:
            progress(number, count)
    assert total is not None  # an empty database has no length
    return total / np.float32(count)


def channel_means(mean: np.ndarray) -> list[float]:
    """The mean of each channel of a (C, H, W) image, added up pixel by pixel in float32 as Caffe does."""
    planes = mean.astype(np.float32).reshape(mean.shape[0], -1)
    return [float(np.add.accumulate(plane)[-1] / np.float32(plane.size)) for plane in planes]
