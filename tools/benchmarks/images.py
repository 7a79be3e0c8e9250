"""Databases of random colour images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum


def image_database(path: Path, count: int, size: int) -> None:
    """``count`` images of 3 x size x size bytes with labels 0 and 1, as an LMDB."""
    generator = np.random.default_rng(1)
    with DatabaseWriter(path, "LMDB") as writer:
        for number in range(count):
            image = generator.integers(0, 256, (3, size, size), np.uint8)
            writer.put(b"%08d" % number, array_to_datum(image, number % 2).SerializeToString())
