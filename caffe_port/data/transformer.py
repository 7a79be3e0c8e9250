"""What transform_param asks for: crop, minus mean, times scale, mirror. Caffe: data_transformer.cpp.

The work is split in two, because pixels are four times smaller as bytes than as float32:

1. :meth:`Transformer.cut` crops and mirrors the images of one batch; it runs in the background and keeps uint8;
2. :meth:`Transformer.normalise` subtracts the mean and scales, on the device that the batch is for.

Mirroring before subtracting a mirrored mean gives the very numbers that Caffe's order gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.proto.means import read_mean

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """Where in an image the crop lies, whether it is mirrored, and how wide the image is."""

    top: int
    left: int
    mirrored: bool
    width: int


@dataclass
class CutBatch:
    """Cropped and mirrored pixels (N, C, H, W), uint8 or float32, and the window that each came from."""

    pixels: Tensor
    windows: list[Window]


class Transformer:
    """transform_param at work.

    y = (x - mean) * scale in the arithmetic of the blob's type, where mean is mean_file's image (which must have the
    size of the uncropped image), or one mean_value, or one per channel. crop_size takes a random square in TRAIN and
    the centre in TEST; mirror flips half of all images, in both phases.

    :param param: a TransformationParameter.
    :param training: whether the phase is TRAIN.
    :param seed: with ``name`` (the layer's) the root of the random crops and mirrors; what item n gets is a function
        of these two and n alone.
    :raises DataError: mean_file together with mean_value, force_color with force_gray, an unreadable mean.
    """

    def __init__(self, param: Any, training: bool, *, seed: int = 0, name: str = "") -> None:
        if param.HasField("mean_file") and param.mean_value:
            raise DataError("Cannot specify mean_file and mean_value at the same time.", remedy="Drop one of the two.")
        if param.force_color and param.force_gray:
            raise DataError("Cannot set both force_color and force_gray.", remedy="Drop one of the two.")
        self.param = param
        self.seed = seed
        self.name = name
        self.crop = int(param.crop_size)
        self.random_crop = training and self.crop > 0
        self.mean = self._read_mean()
        self._means: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def _read_mean(self) -> Tensor | None:
        """(C, H, W) of mean_file, (n, 1, 1) of mean_value, or None."""
        if not self.param.HasField("mean_file"):
            values = list(self.param.mean_value)
            return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1) if values else None
        return torch.from_numpy(read_mean(self.param.mean_file).copy())

    @property
    def mean_image(self) -> Tensor | None:
        """The mean if it comes from mean_file, which has a value for every pixel."""
        return self.mean if self.param.HasField("mean_file") else None

    @property
    def colour(self) -> bool | None:
        """How encoded images are decoded: True and False force 3 channels or 1, None leaves them as they are."""
        return True if self.param.force_color else False if self.param.force_gray else None

    def output_shape(self, shape: Shape3) -> Shape3:
        """(C, H, W) after the transform of an image of (C, H, W).

        :raises DataError: the image is smaller than crop_size, or the mean does not fit it.
        """
        channels, height, width = shape
        if self.crop > min(height, width):
            text = f"crop_size {self.crop} is larger than the image of {height} x {width}."
            raise DataError(text, remedy="Resize the images, or choose a smaller crop_size.")
        mean = self.mean_image
        if mean is not None and tuple(mean.shape) != tuple(shape):
            text = f"the mean has the shape {tuple(mean.shape)}, the image before cropping {tuple(shape)}."
            raise DataError(text, remedy="Compute the mean from these images.", file=self.param.mean_file)
        count = len(self.param.mean_value)
        if count not in (0, 1, channels):
            raise DataError(f"Specify either 1 mean_value or as many as channels: {channels}, not {count}.")
        return (channels, self.crop, self.crop) if self.crop else (channels, height, width)

    def window(self, shape: Shape3, item: int) -> Window:
        """The window of global item number ``item``, whose image has ``shape``.

        A keyed hash is itself the random number: its bits 0, 1 to 31 and 32 to 62 decide mirror, top and left.
        """
        _, height, width = shape
        crop_h, crop_w = (self.crop, self.crop) if self.crop else (height, width)
        bits = rng.key(self.seed, self.name, "transform", item) if self.param.mirror or self.random_crop else 0
        if self.random_crop:
            top = (bits >> 1 & 0x7FFFFFFF) % (height - crop_h + 1)
            left = (bits >> 32) % (width - crop_w + 1)
        else:
            top, left = (height - crop_h) // 2, (width - crop_w) // 2
        return Window(top, left, bool(self.param.mirror and bits & 1), width)

    def cut(self, images: Sequence[np.ndarray], items: Sequence[int], names: Sequence[str]) -> CutBatch:
        """Crop and mirror a batch of (C, H, W) ``images`` whose global item numbers are ``items``.

        The first image decides the shape of the batch; without crop_size the others must have its size.

        :param names: what the error message calls each image.
        :raises DataError: an image does not fit the batch, the crop or the mean.
        """
        dtype = np.uint8 if all(image.dtype == np.uint8 for image in images) else np.float32
        shape = self._checked_shape(images[0], names[0])
        _, height, width = shape
        pixels = np.empty((len(images), *shape), dtype)
        windows = []
        for slot, image, item, name in zip(pixels, images, items, names):
            found = self._checked_shape(image, name)
            if found != shape:
                text = f"{name} has the shape {found}, the first of its batch {shape}."
                raise DataError(text, remedy="Resize the images to one size, set crop_size, or use batch_size 1.")
            window = self.window(image.shape, item)
            part = image[:, window.top : window.top + height, window.left : window.left + width]
            slot[...] = part[:, :, ::-1] if window.mirrored else part
            windows.append(window)
        return CutBatch(torch.from_numpy(pixels), windows)

    def _checked_shape(self, image: np.ndarray, name: str) -> Shape3:
        try:
            return self.output_shape(image.shape)
        except DataError as error:
            error.cause = f"{name}: {error.cause}"
            raise

    def normalise(self, batch: CutBatch, like: Tensor) -> Tensor:
        """(pixels - mean) * scale as a new tensor with the device and floating type of ``like``."""
        pixels = batch.pixels.to(like.device, non_blocking=True)
        x = pixels.to(like.dtype, copy=pixels is batch.pixels)
        if self.mean is not None:
            self._subtract(self.mean, x, batch.windows)
        if self.param.scale != 1:
            x.mul_(self.param.scale)
        return x

    def _subtract(self, mean: Tensor, x: Tensor, windows: list[Window]) -> None:
        where = (x.device, x.dtype)
        if where not in self._means:
            mean = mean.to(*where)
            self._means[where] = mean, mean.flip(2)
        mean, flipped = self._means[where]
        if not self.param.HasField("mean_file"):
            x.sub_(mean)
            return
        height, width = x.shape[2:]
        alike = len(set(windows)) == 1
        for window, target in zip(windows[:1], [x]) if alike else zip(windows, x):
            # Seen in the mirror, the window begins as far from the left as it ended from the right.
            left = window.width - width - window.left if window.mirrored else window.left
            source = flipped if window.mirrored else mean
            target.sub_(source[:, window.top : window.top + height, left : left + width])
