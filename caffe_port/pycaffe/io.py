"""Arrays to messages and back, images from files, and their preparation as input (Caffe: io.py).

Images are float32 arrays (height, width, channels), colour in the order red, green, blue, values from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from scipy import ndimage

from caffe_port.data import datum as datums
from caffe_port.errors import DataError, NetError
from caffe_port.pycaffe.proto import caffe_pb2

#: The share of red, green and blue in grey (scikit-image's rgb2gray).
_GREY = np.array([0.2125, 0.7154, 0.0721])


class ArrayError(DataError, ValueError):
    """An array has a shape that does not fit."""


# -- messages ---------------------------------------------------------------------------------------------------------


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """The data (or diff) of a BlobProto: float64 of its shape, four axes if it is given in the old form.

    :raises ArrayError: shape and number of values disagree.
    """
    values = np.array(blob.diff if return_diff else blob.data, float)
    old = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in old):
        shape = tuple(getattr(blob, name) for name in old)
    else:
        shape = tuple(blob.shape.dim)
    try:
        return values.reshape(shape)
    except ValueError:
        raise ArrayError(f"A blob of shape {shape} cannot hold {values.size} values.") from None


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """A BlobProto of an array of any shape, and of a diff of the same shape.

    :raises ArrayError: ``diff`` has another shape.
    """
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        if diff.shape != arr.shape:
            raise ArrayError(f"The diff of shape {diff.shape} is no diff of data of shape {arr.shape}.")
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """A serialized BlobProtoVector of the arrays."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(array) for array in arraylist)
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays of a serialized BlobProtoVector. As :func:`blobproto_to_array`."""
    vector = caffe_pb2.BlobProtoVector()
    vector.ParseFromString(str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """A Datum of an array (channels, height, width): uint8 as bytes, anything else as floats.

    :raises ArrayError: another number of axes.
    """
    if arr.ndim != 3:
        raise ArrayError(f"Incorrect array shape: a Datum holds (channels, height, width), not {arr.shape}.")
    return datums.array_to_datum(arr if arr.dtype == np.uint8 else arr.astype(float), label)


def datum_to_array(datum: Any) -> np.ndarray:
    """The pixels of a Datum (channels, height, width): uint8, or float64 where it holds floats.

    Deviates from Caffe: an encoded image is decoded (blue, green, red).

    :raises DataError: sizes and data do not fit, or the image cannot be decoded.
    """
    pixels = datums.datum_to_array(datum)
    return pixels.copy() if pixels.dtype == np.uint8 else pixels.astype(float)


# -- preparing input --------------------------------------------------------------------------------------------------


class Transformer:
    """Prepares images as input of a net, and turns input back into images.

    :param inputs: the shapes of the net's input blobs by name, ``{"data": net.blobs["data"].data.shape}``.

    Deviates from Caffe: :meth:`preprocess` never changes the array that it is given.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The image ``data`` (H', W', K) as input of the blob ``in_``: float32 (K, H, W) with a transpose of (2, 0, 1).

        In this order: resized to the blob's height and width, transposed, channels swapped, times the raw scale, minus
        the mean, times the input scale; each as far as it was set.

        :raises NetError: the net has no such input.
        :raises ArrayError: ``data`` needs resizing and is no image.
        """
        self._check(in_)
        dims = tuple(self.inputs[in_][2:])
        image = np.array(data, np.float32)
        if image.shape[:2] != dims:
            image = resize_image(image, dims)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            image -= self.mean[in_]
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Undo :meth:`preprocess`, but for the size: ``data`` (K, H, W), or a batch of one, becomes an image (H, W, K).

        :raises NetError: the net has no such input.
        """
        self._check(in_)
        order = self.transpose.get(in_)
        image = data.copy()
        # Caffe drops every axis of length one; then images with one channel could not be transposed.
        image = image.squeeze() if order is None else image.reshape(image.shape[-len(order) :])
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            image += self.mean[in_]
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        return image if order is None else image.transpose(np.argsort(order))

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the axes of images: (2, 0, 1) makes (height, width, channels) Caffe's (channels, height, width).

        :raises NetError: the net has no such input, or it has another number of axes (without the batch's).
        """
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise NetError(f"A transpose of input '{in_}' takes {len(self.inputs[in_]) - 1} axes, not {len(order)}.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the channels, the first axis after the transpose: (2, 1, 0) makes red, green, blue Caffe's reverse.

        :raises NetError: the net has no such input, or it has another number of channels.
        """
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise NetError(f"Input '{in_}' has {self.inputs[in_][1]} channels; the channel swap names {len(order)}.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Multiply images before the mean is subtracted, by 255 for nets that were trained on bytes.

        :raises NetError: the net has no such input.
        """
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Subtract ``mean``: a value per channel, or an image (K, H, W) or (H, W), resized where it does not fit.

        :raises NetError: the net has no such input.
        :raises ArrayError: it has another number of channels, or of axes.
        """
        self._check(in_)
        mean = np.asarray(mean)
        channels, *dims = self.inputs[in_][1:]
        if mean.ndim == 2:
            mean = mean[None]
        if mean.ndim not in (1, 3):
            raise ArrayError(f"Mean shape invalid: {mean.shape}.")
        if len(mean) != channels and mean.shape[:-2] != (1,):
            raise ArrayError(f"Mean channels incompatible with input: {len(mean)} for '{in_}' with {channels}.")
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif list(mean.shape[1:]) != dims:
            mean = resize_image(mean.transpose(1, 2, 0), dims).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Multiply what results after the mean was subtracted.

        :raises NetError: the net has no such input.
        """
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise NetError(f"'{in_}' is not one of the net inputs: {', '.join(self.inputs)}.")


# -- images -----------------------------------------------------------------------------------------------------------


def load_image(filename: str | Path | BinaryIO, color: bool = True) -> np.ndarray:
    """The image in a file (or in an open one) of any kind that OpenCV reads: float32 (H, W, 3), or (H, W, 1) in grey.

    Bytes and 16 bit integers come out between 0 and 1, floating point as it is. Transparency is dropped.

    :raises DataError: the file cannot be read, is no image, or has pixels of another kind.
    """
    name = getattr(filename, "name", "the image") if hasattr(filename, "read") else filename
    try:
        data = filename.read() if hasattr(filename, "read") else Path(filename).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", file=name) from None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:  # such as sizes beyond what OpenCV reads
        raise DataError(f"cannot be decoded: {error.err}.", file=name) from None
    if image is None:
        raise DataError("cannot be decoded.", file=name, remedy="It is truncated, or no image.")
    if image.dtype.kind == "u":
        image = image / (256**image.itemsize - 1)
    elif image.dtype.kind != "f":
        raise DataError(f"has pixels of type {image.dtype}.", file=name, remedy="Convert it to 8 or 16 bit integers.")
    if image.ndim == 3:
        image = image[:, :, 2::-1] if color else image[:, :, 2::-1] @ _GREY
    if image.ndim == 2:
        image = image[:, :, np.newaxis].repeat(3 if color else 1, axis=2)
    return image.astype(np.float32)


def resize_image(im: np.ndarray, new_dims: Sequence[int] | np.ndarray, interp_order: int = 1) -> np.ndarray:
    """``im`` (H, W, K) interpolated to the height and width ``new_dims``: float32.

    Images of one or three channels become what ``skimage.transform.resize(mode="constant")`` makes of them scaled to
    [0, 1], without anti-aliasing, which scikit-image did not do in Caffe's days: beyond the border lies the image's
    minimum, so that an enlarged image fades at its edge. Others become what ``scipy.ndimage.zoom`` makes of them.

    :param interp_order: of the spline, 0 (nearest neighbour) to 5; 1 is linear.
    :raises ArrayError: ``im`` has no three axes.
    """
    if im.ndim != 3 or len(new_dims) < 2:
        raise ArrayError(f"An image of shape {im.shape} cannot be resized to {tuple(new_dims)}.")
    factors = (new_dims[0] / im.shape[0], new_dims[1] / im.shape[1], 1)
    if im.shape[2] not in (1, 3):
        return ndimage.zoom(im, factors, order=interp_order).astype(np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((new_dims[0], new_dims[1], im.shape[2]), low, np.float32)
    resized = ndimage.zoom((im - low) / (high - low), factors, order=interp_order, mode="grid-constant", grid_mode=True)
    return (resized.clip(0, 1) * (high - low) + low).astype(np.float32)


def oversample(images: Sequence[np.ndarray], crop_dims: Sequence[int] | np.ndarray) -> np.ndarray:
    """Ten crops of each image (H, W, K) of one size: corners, centre, then the same mirrored.

    :param crop_dims: height and width of the crops.
    :return: float32 (10 N, height, width, K).
    :raises ArrayError: there are no images, or they are smaller than the crops.
    """
    if not len(images):
        raise ArrayError("There are no images to crop.")
    shape = images[0].shape
    height, width = (int(n) for n in crop_dims)
    if shape[0] < height or shape[1] < width:
        raise ArrayError(f"Images of {shape[0]}x{shape[1]} have no crops of {height}x{width}.")
    bottom, right = shape[0] - height, shape[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.empty((len(images), 10, height, width, shape[2]), np.float32)
    for of_image, image in zip(crops, images):
        for crop, (y, x) in zip(of_image, corners):
            crop[...] = image[y : y + height, x : x + width]
        of_image[5:] = of_image[:5, :, ::-1]
    return crops.reshape(-1, *crops.shape[2:])
