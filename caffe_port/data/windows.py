"""R-CNN window files: labelled boxes in images, sampled as foreground and background. Caffe: window_data_layer.cpp."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.data.images import decode_image, to_hwc
from caffe_port.data.prefetch import BatchSource, Stream
from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError

CHANNELS = 3
F = np.float32


@dataclass
class WindowList:
    """The images of a window file; foreground and background rows (image, label, x1, y1, x2, y2), int64."""

    images: list[str]
    foreground: np.ndarray
    background: np.ndarray


class Tokens:
    """The words of a text file one after another, knowing the line."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.line = 0
        self._words = self._split()

    def _split(self) -> Iterator[str]:
        with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
            for self.line, text in enumerate(file, 1):
                yield from text.split()

    def take(self, count: int, what: str) -> list[str]:
        """The next ``count`` words.

        :raises DataError: the file ends before.
        """
        words = list(islice(self._words, count))
        if len(words) < count:
            raise self.error(f"the file ends where {what} should follow.")
        return words

    def next(self) -> str | None:
        """The next word, or None at the end."""
        return next(self._words, None)

    def error(self, cause: str) -> DataError:
        """A DataError at this line."""
        remedy = "A window file repeats: '# <index>', path, channels, height, width, number of windows, then for each "
        remedy += "'<class> <overlap> <x1> <y1> <x2> <y2>'."
        return DataError(cause, remedy=remedy, file=self.path, line=self.line)


def read_windows(path: str | Path, root_folder: str, fg_threshold: float, bg_threshold: float) -> WindowList:
    """Read a window file. Boxes with overlap >= fg_threshold are foreground, those below bg_threshold background.

    :raises DataError: it is missing, malformed, lists images of other than 3 channels, or a foreground box with a
        label below 1.
    """
    tokens = Tokens(path)
    images: list[str] = []
    foreground, background = [np.empty((0, 6), np.int64)], [np.empty((0, 6), np.int64)]
    try:
        while (mark := tokens.next()) is not None:
            index, image, *sizes = tokens.take(6, "the head of an image")
            channels, _, _, count = map(int, sizes)
            if mark != "#" or int(index) != len(images):
                raise tokens.error(f"'{mark} {index}' should be '# {len(images)}'.")
            if channels != CHANNELS:
                raise tokens.error(f"the image has {channels} channels; only colour images (3) are read.")
            images.append(root_folder + image)
            words = np.array(tokens.take(6 * count, "a window")).reshape(-1, 6)
            rows, overlap = words[:, [0, 0, 2, 3, 4, 5]].astype(np.int64), words[:, 1].astype(F)
            rows[:, 0] = len(images) - 1
            fg = overlap >= F(fg_threshold)
            bg = ~fg & (overlap < F(bg_threshold))
            if (rows[fg, 1] < 1).any():
                raise tokens.error("a foreground window above has a label below 1, which is the background's.")
            rows[bg, 1] = 0
            foreground.append(rows[fg])
            background.append(rows[bg])
    except OSError as error:
        raise DataError(f"Failed to open window file: {error.strerror}.", file=path) from None
    except ValueError as error:
        raise tokens.error(f"not a number: {error}.") from None
    if not images:
        raise DataError("Window file is empty.", file=path)
    return WindowList(images, np.concatenate(foreground), np.concatenate(background))


@dataclass(frozen=True)
class Patch:
    """A warped window (h, w, 3) uint8, and where in the crop_size x crop_size square its corner goes."""

    pixels: np.ndarray
    top: int
    left: int


def cut_window(
    image: np.ndarray, box: tuple[int, int, int, int], crop_size: int, context_pad: int, square: bool, mirror: bool
) -> Patch:
    """Cut ``box`` (x1, y1, x2, y2, inclusive) out of an (H, W, 3) ``image`` and warp it to crop_size x crop_size.

    With context_pad p (or ``square``) the box is first enlarged about its centre by crop_size / (crop_size - 2 p), so
    that p pixels of context surround it after the warp; what lies outside the image is left out, and the rest keeps
    its place. ``square`` enlarges the shorter side to the longer one.

    :raises DataError: the box lies outside the image, or vanishes.
    """
    x1, y1, x2, y2 = box
    rows, columns = image.shape[:2]
    size, top, left = (crop_size, crop_size), 0, 0
    if context_pad > 0 or square:
        scale = F(crop_size) / F(crop_size - 2 * context_pad)
        xs = _clip(*_enlarge(x1, x2, y1, y2, scale, square), columns, crop_size)
        ys = _clip(*_enlarge(y1, y2, x1, x2, scale, square), rows, crop_size)
        x1, x2, y1, y2 = xs.first, xs.last, ys.first, ys.last
        top, left = ys.before, xs.after if mirror else xs.before
        # rounding may have made warped part and padding together longer than the square
        size = min(xs.length, crop_size - left), min(ys.length, crop_size - top)
    if not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows) or min(size) < 1:
        raise DataError(f"the window {box} does not lie in the image of {columns} x {rows}.")
    pixels = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], size, interpolation=cv2.INTER_LINEAR)
    return Patch(pixels[:, ::-1] if mirror else pixels, top, left)


@dataclass(frozen=True)
class Span:
    """One side of an enlarged window: pixels first..last of the image, their length and the padding after the warp."""

    first: int
    last: int
    length: int
    before: int
    after: int


def _enlarge(first: int, last: int, other_first: int, other_last: int, scale: F, square: bool) -> tuple[int, int]:
    half = F(last - first + 1) / F(2)
    centre = F(first) + half
    if square:
        half = max(half, F(other_last - other_first + 1) / F(2))
    return _round(centre - half * scale), _round(centre + half * scale)


def _clip(first: int, last: int, limit: int, crop_size: int) -> Span:
    before, after = max(0, -first), max(0, last - limit + 1)
    scale = F(crop_size) / F(last - first + 1)
    first, last, before_warped = first + before, last - after, _round(F(before) * scale)
    return Span(first, last, _round(F(last - first + 1) * scale), before_warped, _round(F(after) * scale))


def _round(x: Any) -> int:
    """C's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(float(x)) + 0.5), x))


class WindowSource(BatchSource):
    """Random windows: in every batch first the background ones, then int(batch_size * fg_fraction) foreground ones.

    :param param: a WindowDataParameter.
    :raises DataError: the window file is malformed, has too few kinds of windows, or the mean does not fit.
    """

    def __init__(self, param: Any, transformer: Transformer, stream: Stream) -> None:
        self.param = param
        self.transformer = transformer
        self.stream = stream
        self.list = read_windows(param.source, param.root_folder, param.fg_threshold, param.bg_threshold)
        self.foregrounds = int(F(stream.batch_size) * F(param.fg_fraction))
        self._files: dict[str, bytes] = {}
        for rows, wanted, kind in (
            (self.list.foreground, self.foregrounds, "foreground"),
            (self.list.background, stream.batch_size - self.foregrounds, "background"),
        ):
            if wanted and not len(rows):
                remedy = f"Each batch needs {wanted}: change fg_fraction or the thresholds."
                raise DataError(f"has no {kind} windows.", remedy=remedy, file=param.source)
        self._check_mean()

    def _check_mean(self) -> None:
        crop, mean = self.transformer.crop, self.transformer.mean_image
        if mean is None:
            self.transformer.output_shape((CHANNELS, crop, crop))
        elif mean.shape[0] != CHANNELS or mean.shape[1] != mean.shape[2] or mean.shape[2] < crop:
            text = (
                f"the mean has the shape {tuple(mean.shape)}; WindowData needs 3 x n x n, n at least crop_size {crop}."
            )
            raise DataError(text, file=self.transformer.param.mean_file)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(batch_size, 3, crop_size, crop_size) and (batch_size,)."""
        crop = self.transformer.crop
        return [(self.stream.batch_size, CHANNELS, crop, crop), (self.stream.batch_size,)]

    def read(self, batch: int) -> list[tuple[np.ndarray, bool]]:
        """Draw the windows, and which of them are mirrored."""
        drawn = []
        for place, item in enumerate(self.stream.items(batch)):
            bits = rng.key(self.stream.seed, self.stream.name, "window", item)
            is_background = place < self.stream.batch_size - self.foregrounds
            rows = self.list.background if is_background else self.list.foreground
            drawn.append((rows[(bits >> 1) % len(rows)], bool(self.transformer.param.mirror and bits & 1)))
        return drawn

    def prepare(self, batch: int, raw: list[tuple[np.ndarray, bool]]) -> tuple[Tensor, Tensor]:
        """Read the images, and cut and warp the windows."""
        data = np.zeros(self.shapes[0], F)
        for slot, (row, mirrored) in zip(data, raw):
            self._place(slot, row.tolist(), mirrored)
        return torch.from_numpy(data), torch.tensor([float(row[1]) for row, _ in raw])

    def finish(self, prepared: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, ...]:
        """Windows and labels."""
        return tuple(top.to(like.device, like.dtype) for top in prepared)

    def _place(self, slot: np.ndarray, row: list[int], mirrored: bool) -> None:
        """Write (patch - mean) * scale of window ``row`` into ``slot`` (3, crop, crop); padding stays 0."""
        path = self.list.images[row[0]]
        crop, param = self.transformer.crop, self.param
        try:
            image = to_hwc(decode_image(self._bytes(path), True, name="the image"))
            box = (row[2], row[3], row[4], row[5])
            patch = cut_window(image, box, crop, param.context_pad, param.crop_mode == "square", mirrored)
        except DataError as error:
            raise error.at(file=path) from None
        height, width = patch.pixels.shape[:2]
        part = np.s_[:, patch.top : patch.top + height, patch.left : patch.left + width]
        values = patch.pixels.transpose(2, 0, 1).astype(F)
        if self.transformer.mean is not None:
            mean = self.transformer.mean.numpy().astype(F, copy=False)
            if mean.shape[1] > 1:  # mean_file: its central crop_size square
                offset = (mean.shape[2] - crop) // 2
                mean = mean[:, offset : offset + crop, offset : offset + crop][part]
            values -= mean
        slot[part] = values * F(param.scale)

    def _bytes(self, path: str) -> bytes:
        """The file's content, kept when cache_images is set."""
        if path in self._files:
            return self._files[path]
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"Could not open or find file: {error.strerror}.", file=path) from None
        if self.param.cache_images:
            self._files[path] = data
        return data
