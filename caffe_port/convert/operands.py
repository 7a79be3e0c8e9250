"""Tensors of layers in the form that exports store."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers import Layer
from caffe_port.layers.base import Shape


def batch_statistics(layer: Layer) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of a BatchNorm layer, divided by its scale factor (zeros where that is 0)."""
    total, squares, factor = (blob.detach() for blob in layer.blobs)
    scale = torch.where(factor == 0, factor, 1 / factor)
    return total * scale, squares * scale


def affine_operands(layer: Layer, shape: Shape) -> dict[str, Tensor]:
    """The learned ``weight`` and ``bias`` of a Scale or Bias layer, as far as it has them.

    Axes of 1 are appended so that they broadcast against a bottom of ``shape``.
    """
    names = {"scale": "weight", "bias": "bias"}
    return {names[name]: _aligned(layer, layer.blob(i), shape) for i, name in enumerate(layer.blob_names)}


def missing_axes(layer: Layer, operand: Shape, shape: Shape) -> int:
    """How many axes of 1 the operand of a Scale or Bias layer needs to broadcast against a bottom of ``shape``."""
    param = layer.layer_param.scale_param if layer.TYPE == "Scale" else layer.layer_param.bias_param
    return len(shape) - layer.axis(param.axis, shape) - len(operand) if operand else 0


def _aligned(layer: Layer, operand: Tensor, shape: Shape) -> Tensor:
    return operand.detach().reshape((*operand.shape, *[1] * missing_axes(layer, tuple(operand.shape), shape)))
