"""The base: the net that is fine-tuned, its weights, and the preprocessing that belongs to them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from caffe_port.data.mean import channel_means
from caffe_port.data.transformer import Transformer
from caffe_port.errors import DataError, StudyError
from caffe_port.net import Net
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.mapped import open_map
from caffe_port.proto.means import read_mean
from caffe_port.proto.weights import read_weights
from caffe_port.resources import prototxt
from caffe_port.study.body import Body
from caffe_port.study.padding import fitting_size, without_padding

#: The paper's base in the tree of shipped files, and the means of BVLC's imagenet_mean.binaryproto by channel (BGR).
ALEXNET = "alexnet/deploy.prototxt"
ALEXNET_MEAN = (104.0069879317889, 116.66876761696767, 122.6789143406786)


@dataclass(frozen=True)
class Base:
    """A net to be fine-tuned, with its preprocessing: y = (x - mean) * scale, as a Data layer computes it.

    :param net: path of the prototxt; ``weights`` of the weights, empty where there are only arms from scratch.
    :param net_sha256: of the file; ``weights_sha256`` likewise.
    :param size: height and width of the input, in pixels: the size of all patches.
    :param channels: 3 (``order`` BGR or RGB) or 1 (grey).
    :param padding: False: its layers pad nothing, for nets that are applied to every pixel of larger images.
    :param mean: one value per channel, or one for all, or none. A mean image counts by the means of its channels, so
        that patches and larger images are treated alike.
    """

    net: str
    weights: str
    net_sha256: str
    weights_sha256: str
    size: tuple[int, ...]
    channels: int
    order: str = "BGR"
    mean: tuple[float, ...] = ()
    scale: float = 1.0
    padding: bool = True

    def __post_init__(self) -> None:
        wrong = {
            "size": len(self.size) != 2 or min(self.size, default=0) < 1,
            "channels": self.channels not in (1, 3),
            "order": self.order not in ("BGR", "RGB"),
            "mean": len(self.mean) not in (0, 1, self.channels) or not all(map(math.isfinite, self.mean)),
            "scale": self.scale == 0 or not math.isfinite(self.scale),
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            raise StudyError(f"base.{name} is {getattr(self, name)}.", remedy="Nets for images of 1 or 3 channels fit.")

    @property
    def transform(self) -> Any:
        """The preprocessing as a TransformationParameter."""
        param = pb.TransformationParameter(mean_value=self.mean)
        if self.scale != 1:
            param.scale = self.scale
        return param

    def body(self) -> Body:
        """The net up to its scores.

        :raises CaffeError: the file is not that of these settings any more, or is no classifier.
        """
        _check_hash(self.net, self.net_sha256, "net")
        names = [layer.name for layer in read_weights(self.weights)] if self.weights else []
        body = Body.of(read_net(self.net, blobs=False), taken=names, file=self.net)
        return body if self.padding else without_padding(body)

    def check_weights(self) -> None:
        """Make sure that the weights are those of these settings, and have every layer of the net but the last.

        :raises CaffeError: they have not.
        """
        if not self.weights:
            raise StudyError("The arms that fine-tune need weights.", remedy=_how_to_get_weights(self.net))
        _check_hash(self.weights, self.weights_sha256, "weights")
        Net(self.body().below_score((1, self.channels, *self.size)), self.weights, missing="error")

    def pixels(self, image: np.ndarray, resize: bool = True) -> np.ndarray:
        """The uint8 (H, W) or (H, W, 3) BGR ``image`` as the net's own: (channels, height, width), of the net's size.

        :param resize: False leaves the size as it is.
        :raises DataError: it is no such image.
        """
        grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
        if image.dtype != np.uint8 or not image.size or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
            raise DataError(f"An image is uint8 (H, W) or (H, W, 3), not {image.dtype} {image.shape}.")
        if resize and image.shape[:2] != tuple(self.size):
            shrinks = image.shape[0] >= self.size[0] and image.shape[1] >= self.size[1]
            way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (self.size[1], self.size[0]), interpolation=way)
        if self.channels == 1:
            return (image if grey else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)).reshape(1, *image.shape[:2])
        if grey:
            return np.repeat(image.reshape(1, *image.shape[:2]), 3, axis=0)
        return (image if self.order == "BGR" else image[..., ::-1]).transpose(2, 0, 1)

    def preprocess(self, images: Sequence[np.ndarray] | np.ndarray, resize: bool = True) -> Tensor:
        """The net's input for ``images``: float32 (N, channels, height, width).

        What a Data layer makes of the same patches, to the bit; on the CPU, whatever the net computes on.

        :param images: uint8, (H, W) or (H, W, 3) BGR each.
        :param resize: False leaves the size as it is, which must then be one for all: for a net that is applied to
            larger images in a convolutional manner.
        :raises DataError: an image is no such image, or another size than the first.
        """
        names = [f"image {index}" for index in range(len(images))]
        transformer = Transformer(self.transform, training=False)
        batch = transformer.cut([self.pixels(image, resize) for image in images], range(len(images)), names)
        return transformer.normalise(batch, torch.empty(0))


def open_base(
    net: str | None,
    weights: str | None,
    *,
    mean: str | None = None,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    order: str = "BGR",
    padding: bool = True,
) -> Base:
    """The base that these flags ask for. What is not given is taken from the net: its Input layer or the
    transform_param of its data layer.

    :param net: a prototxt of any age, deploy or train_val; None: the paper's AlexNet.
    :param mean: a mean file (.binaryproto, .npy), or numbers separated by commas, in the net's order of channels.
    :param padding: whether layers keep their padding; without it the default size is :func:`fitting_size`.
    :raises CaffeError: a file cannot be read, or the net is no classifier of images of a known size.
    """
    path = str(Path(net).resolve()) if net else str(prototxt(ALEXNET))
    if weights and not Path(weights).exists():
        raise StudyError("There is no such file of weights.", file=weights, remedy=_how_to_get_weights(path))
    body = Body.of(read_net(path, blobs=False), file=path)
    found = body.source
    transform = found.transform
    values: Sequence[float] = ALEXNET_MEAN if net is None else list(transform.mean_value)
    if mean is not None:
        values = _mean(mean)
    elif net is not None and transform.mean_file:
        values = _mean(transform.mean_file)
    height, width = size or found.size
    if not height:
        raise StudyError("does not tell the size of its input.", file=path, remedy="Give --size HEIGHT,WIDTH.")
    if not padding and not size:
        height, width = fitting_size(body, found.channels, (height, width))
    return Base(
        net=path,
        weights=str(Path(weights).resolve()) if weights else "",
        net_sha256=_sha256(path),
        weights_sha256=_sha256(weights) if weights else "",
        size=(height, width),
        channels=found.channels,
        order=order,
        mean=tuple(float(value) for value in values),
        scale=transform.scale if scale is None else scale,
        padding=padding,
    )


def _how_to_get_weights(net: str) -> str:
    if net != str(prototxt(ALEXNET)):
        return "Give --weights, or train from scratch only: --arms scratch."
    name = "bvlc_alexnet.caffemodel"
    return (
        f"Fetch those of the paper's AlexNet with 'caffe-port data fetch bvlc_alexnet --file {name}', then give "
        f"--weights {name}; or choose another net with --base."
    )


def _mean(text: str) -> list[float]:
    try:
        return [float(value) for value in text.split(",")]
    except ValueError:
        return channel_means(read_mean(text))


def _sha256(path: str) -> str:
    return hashlib.sha256(open_map(path)).hexdigest()


def _check_hash(path: str, expected: str, what: str) -> None:
    if _sha256(path) != expected:
        raise StudyError(
            f"is not the file that this run began with (base.{what}_sha256).",
            file=path,
            remedy="Put that one back, or begin in a new folder.",
        )
