"""Sources of images with labels: database records and image lists. Caffe: data_layer.cpp, image_data_layer.cpp."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.data.datum import decode_record
from caffe_port.data.images import read_image
from caffe_port.data.prefetch import BatchSource, Stream
from caffe_port.data.records import Database
from caffe_port.data.transformer import CutBatch, Transformer
from caffe_port.errors import DataError


@dataclass
class LabelledBatch:
    """A cut batch and its labels (N,), float32."""

    images: CutBatch
    labels: Tensor


class ImageSource(BatchSource):
    """Images that are decoded, transformed and served with a label: (N, C, H, W), then (N,)."""

    def __init__(self, transformer: Transformer, stream: Stream) -> None:
        self.transformer = transformer
        self.stream = stream

    @abstractmethod
    def decode(self, raw: Any) -> tuple[np.ndarray, int, str]:
        """Pixels (C, H, W), label, and what an error calls the image."""

    @abstractmethod
    def first(self) -> Any:
        """The raw item that decides the shapes."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(batch_size, C, H, W) of the first image after its transform, and (batch_size,)."""
        pixels, _, name = self.decode(self.first())
        cut = self.transformer.cut([pixels], [0], [name])
        return [(self.stream.batch_size, *cut.pixels.shape[1:]), (self.stream.batch_size,)]

    def prepare(self, batch: int, raw: list[Any]) -> LabelledBatch:
        """Decode, crop and mirror the images."""
        images, labels, names = zip(*map(self.decode, raw))
        cut = self.transformer.cut(images, self.stream.items(batch), names)
        if self.pin_memory:
            cut.pixels = cut.pixels.pin_memory()
        return LabelledBatch(cut, torch.tensor(labels, dtype=torch.float32))

    def finish(self, prepared: LabelledBatch, like: Tensor) -> tuple[Tensor, ...]:
        """Images minus mean times scale, and labels."""
        return self.transformer.normalise(prepared.images, like), prepared.labels.to(like.device, like.dtype)


class DatumSource(ImageSource):
    """The records of a database, in the order of their keys, epoch after epoch."""

    def __init__(self, database: Database, transformer: Transformer, stream: Stream) -> None:
        super().__init__(transformer, stream)
        self.database = database
        self._records: Iterator[tuple[bytes, bytes]] = iter(())
        self._next_item = -1

    def first(self) -> tuple[bytes, bytes]:
        """The first record."""
        return next(self.database.records())

    def read(self, batch: int) -> list[tuple[bytes, bytes]]:
        """Keys and values of ``batch``; a jump costs one seek."""
        items = self.stream.items(batch)
        if items.start != self._next_item:
            self._records = self.database.records(items.start, self.stream.world)
        self._next_item = items.stop
        return [next(self._records) for _ in items]

    def decode(self, raw: tuple[bytes, bytes]) -> tuple[np.ndarray, int, str]:
        """Pixels, label and name of one record."""
        return decode_record(*raw, self.transformer.colour, file=self.database.path)


def read_image_list(path: str | Path) -> list[tuple[str, int]]:
    """The lines ``<image path> <label>`` of an image list; the path may contain spaces.

    Deviates from Caffe: a line without an integer label is refused; Caffe takes 0, or the integer part.

    :raises DataError: the list is missing, empty, or has such a line.
    """
    try:
        text = Path(path).read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"The list cannot be read: {error.strerror}.", file=path) from None
    lines = []
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        match = re.fullmatch(r"(.+) ([+-]?\d+)\s*", line)
        if match is None:
            if not text.strip():
                raise DataError("The list is empty.", file=path)
            remedy = "For other labels than one integer use HDF5Data."
            raise DataError(f"'{line}' is not '<image path> <integer label>'.", remedy=remedy, file=path, line=number)
        lines.append((match[1], int(match[2])))
    return lines


class ImageListSource(ImageSource):
    """The images of a list, in its order or shuffled anew for every epoch (the first included).

    :param param: an ImageDataParameter.
    :raises DataError: the list cannot be read, or rand_skip skips all of it.
    """

    def __init__(self, param: Any, transformer: Transformer, stream: Stream) -> None:
        super().__init__(transformer, stream)
        self.param = param
        self.lines = read_image_list(param.source)
        self.skip = rng.key(stream.seed, stream.name, "rand_skip") % param.rand_skip if param.rand_skip else 0
        if self.skip >= len(self.lines):
            text = f"rand_skip came to {self.skip}, but the list has {len(self.lines)} images."
            raise DataError(text, remedy="Not enough points to skip: lower rand_skip.", file=param.source)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def line(self, item: int) -> tuple[str, int]:
        """Path and label of global item number ``item``."""
        epoch, place = divmod(self.skip + item, len(self.lines))
        if not self.param.shuffle:
            return self.lines[place]
        if self._order[0] != epoch:
            generator = rng.numpy_generator(self.stream.seed, self.stream.name, "shuffle", epoch)
            self._order = epoch, generator.permutation(len(self.lines))
        return self.lines[self._order[1][place]]

    def first(self) -> tuple[str, int]:
        """The line that is served first."""
        return self.line(0)

    def read(self, batch: int) -> list[tuple[str, int]]:
        """Paths and labels of ``batch``."""
        return [self.line(item) for item in self.stream.items(batch)]

    def decode(self, raw: tuple[str, int]) -> tuple[np.ndarray, int, str]:
        """Pixels, label and name of one image file."""
        path = self.param.root_folder + raw[0]
        pixels = read_image(path, self.param.new_height, self.param.new_width, self.param.is_color)
        return pixels, raw[1], f"image '{path}'"
