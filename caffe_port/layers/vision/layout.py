"""The memory format in which a CPU convolves and pools fastest."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import is_compiling


def fast_layout(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """``x`` (N, C, H, W), on a CPU in channels-last memory, which pooling takes up to ten times as fast.

    Layers after it keep the format. Shapes and values are the same; a GPU computes float32 faster the other way.

    :param weight: the filters of a convolution. They are rearranged with every call, so that for an input of fewer
        values than they have (a batch of one, say) the contiguous format is the faster one.
    """
    if x.ndim != 4 or x.device.type != "cpu" or is_compiling():
        return x
    few = weight is not None and x.numel() < weight.numel()
    return x.contiguous(memory_format=torch.contiguous_format if few else torch.channels_last)
