"""Detection by classifying windows of images, as R-CNN does (Caffe: detector.py)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import CaffeError, DataError
from caffe_port.pycaffe import io
from caffe_port.pycaffe.classifier import image_transformer
from caffe_port.pycaffe.net import Net

_SELECTIVE_SEARCH = "selective_search_ijcv_with_python"


class Detector(Net):
    """A net in TEST phase that classifies windows of images, each warped to the net's input.

    :param context_pad: width of the border of the net's input, in pixels, that shows the window's surroundings.

    The other parameters and errors are those of :class:`~caffe_port.pycaffe.classifier.Classifier`.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, phase="TEST", weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Iterable[Sequence[float]]]]) -> list[dict[str, Any]]:
        """Classify windows, (ymin, xmin, ymax, xmax) in pixels, of image files.

        :return: a dict of ``filename``, ``window`` and ``prediction`` (the net's first output) for each window.
        :raises DataError: an image cannot be read, or a window is empty or lies outside.
        """
        in_ = self.inputs[0]
        found: list[dict[str, Any]] = []
        inputs: list[np.ndarray] = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                try:
                    inputs.append(self.transformer.preprocess(in_, self.crop(image, window)))
                except DataError as error:
                    raise error.at(file=filename) from None
                found.append({"window": window, "filename": filename})
        if found:
            predictions = self.forward_all(None, **{in_: np.array(inputs)})[self.outputs[0]]
            for one, prediction in zip(found, predictions):
                one["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """Classify the windows that Selective Search, a Matlab program with a Python module, proposes.

        :raises CaffeError: its module is not there.
        """
        try:
            selective_search = importlib.import_module(_SELECTIVE_SEARCH)
        except ImportError as error:
            raise CaffeError(
                f"Selective Search cannot be used: {error}.",
                remedy=f"Install the module {_SELECTIVE_SEARCH}, which needs Matlab, or give detect_windows the "
                "windows of another method.",
            ) from None
        names = [os.path.abspath(name) for name in image_fnames]  # Matlab looks elsewhere
        return self.detect_windows(zip(names, selective_search.get_windows(names)))

    def crop(self, im: np.ndarray, window: Sequence[float]) -> np.ndarray:
        """The window (ymin, xmin, ymax, xmax) of the image (H, W, K), with its context if there is to be one.

        With context it has the net's size, and the mean where the context lies outside of the image.

        :raises DataError: the window is empty or lies outside.
        """
        box = np.asarray(window)
        return self._with_context(im, box) if self.context_pad else _cut(im, box, box)

    def _with_context(self, im: np.ndarray, box: np.ndarray) -> np.ndarray:
        size = self.crop_dims[0]  # the input is taken to be square
        half = (box[2:] - box[:2] + 1) / 2
        centre = box[:2] + half
        grown = half * size / (size - 2 * self.context_pad)
        box = np.round(np.concatenate([centre - grown, centre + grown]))
        scale = size / (box[2:] - box[:2] + 1)  # input pixels per image pixel
        start = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        inside = np.clip(box, 0, [*im.shape[:2], *im.shape[:2]])
        dims = np.round((inside[2:] - inside[:2] + 1) * scale).astype(int)
        stop = np.minimum(start + dims, size)
        made = np.array(np.broadcast_to(self.crop_mean, self.crop_dims), np.float32)
        part = _cut(im, inside, box)
        made[start[0] : stop[0], start[1] : stop[1]] = io.resize_image(part, stop - start)
        return made

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context's width, and the mean as an image (H, W, K) that surrounds what lies at an image's border.

        :raises CaffeError: the context fills the whole input.
        """
        in_ = self.inputs[0]
        channels, height, width = self.blobs[in_].data.shape[1:]
        self.crop_dims = np.array([height, width, channels])
        self.context_pad = context_pad or 0
        if 2 * self.context_pad >= width:
            raise CaffeError(f"A context of {context_pad} pixels on each side leaves nothing of {width}.")
        mean = self.transformer.mean.get(in_, np.zeros((channels, 1, 1)))
        mean = np.broadcast_to(mean, (channels, height, width))
        if in_ in self.transformer.channel_swap:
            mean = mean[np.argsort(self.transformer.channel_swap[in_])]
        self.crop_mean = mean.transpose(1, 2, 0) / self.transformer.raw_scale.get(in_, 1)


def _cut(im: np.ndarray, box: np.ndarray, window: np.ndarray) -> np.ndarray:
    top, left, bottom, right = box.astype(int)
    part = im[top:bottom, left:right]
    if not part.size or min(top, left) < 0:
        raise DataError(f"Window {tuple(window.tolist())} is empty or lies outside of the image {im.shape[:2]}.")
    return part
