"""Image classification with a net (Caffe: classifier.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caffe_port.errors import NetError
from caffe_port.pycaffe import io
from caffe_port.pycaffe.net import Net


def image_transformer(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """The transformer from images (H, W, K) to the first input of ``net``, with the settings that are given.

    :raises NetError: the net has no output, no input, or one that is no batch of images.
    :raises CaffeError: as the setters of :class:`~caffe_port.pycaffe.io.Transformer`.
    """
    if not net.inputs:
        raise NetError("The net has no input blob.", remedy="Give the deploy prototxt, which has an Input layer.")
    if not net.outputs:
        raise NetError("The net has no output blob.")
    in_ = net.inputs[0]
    shape = net.blobs[in_].data.shape
    if len(shape) != 4:
        raise NetError(f"Input '{in_}' of shape {shape} is no batch of images.")
    transformer = io.Transformer({in_: shape})
    transformer.set_transpose(in_, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(in_, mean)
    if input_scale is not None:
        transformer.set_input_scale(in_, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(in_, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(in_, channel_swap)
    return transformer


class Classifier(Net):
    """A net in TEST phase that classifies images, whole or averaged over ten crops.

    :param image_dims: height and width to which images are resized before they are cropped to the net's input; that
        size if not given.
    :param mean: a value per channel, or an image (K, H, W), in the net's scale and channel order.
    :param input_scale: what the input is multiplied by after the mean was subtracted.
    :param raw_scale: what images, whose values go from 0 to 1, are multiplied by before; 255 for most nets.
    :param channel_swap: the image's channels in the net's order; (2, 1, 0) for most nets.
    :raises CaffeError: as :class:`Net` and :func:`image_transformer`.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, phase="TEST", weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """What the net's first output is for each image.

        :param inputs: images (H, W, K) of any size, values from 0 to 1.
        :param oversample: average over the corners, the centre and their mirror images, else take the centre.
        :return: (N, classes).
        :raises CaffeError: the images have other channels than the net, or ``image_dims`` is below its input's size.
        """
        in_ = self.inputs[0]
        images = [io.resize_image(image, self.image_dims) for image in inputs]
        crops = io.oversample(images, self.crop_dims)
        if not oversample:
            crops = crops[4::10]  # the centres
        batch = np.array([self.transformer.preprocess(in_, crop) for crop in crops])
        predictions = self.forward_all(None, **{in_: batch})[self.outputs[0]]
        return predictions.reshape(len(inputs), 10, -1).mean(1) if oversample else predictions
