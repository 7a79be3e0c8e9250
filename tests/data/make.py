"""Real files for the tests of this folder and of tests/layers/data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.proto import pb


def images(count: int, shape: Sequence[int] = (3, 8, 7), seed: int = 0) -> np.ndarray:
    """(count, C, H, W) random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_database(path: Path, datums: Sequence[Any], backend: str = "LMDB") -> Path:
    """A database of Datum messages, or of bytes, under the keys that Caffe's convert_imageset makes."""
    with DatabaseWriter(path, backend) as writer:
        for number, datum in enumerate(datums):
            value = datum if isinstance(datum, bytes) else datum.SerializeToString()
            writer.put(b"%08d_img%d" % (number, number), value)
    return path


def image_database(path: Path, pixels: np.ndarray, backend: str = "LMDB") -> Path:
    """A database of these images; the label of each is its number."""
    return write_database(path, [array_to_datum(p, i) for i, p in enumerate(pixels)], backend)


def encoded_datum(pixels: np.ndarray, label: int, suffix: str = ".png") -> Any:
    """A Datum that holds the (C, H, W) ``pixels`` as an image file."""
    done, data = cv2.imencode(suffix, pixels.transpose(1, 2, 0))
    assert done
    return pb.Datum(data=data.tobytes(), encoded=True, label=label)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """The (C, H, W) ``pixels`` as an image file."""
    assert cv2.imwrite(str(path), pixels.transpose(1, 2, 0))


def write_mean(path: Path, mean: np.ndarray) -> None:
    """A (C, H, W) mean as Caffe's compute_image_mean writes it."""
    channels, height, width = mean.shape
    proto = pb.BlobProto(num=1, channels=channels, height=height, width=width)
    proto.data.extend(mean.ravel().tolist())
    path.write_bytes(proto.SerializeToString())
