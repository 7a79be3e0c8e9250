"""The memory format in which a CPU convolves and pools fastest."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.layers.base import is_compiling


def fast_layout(x: Tensor) -> Tensor:
    """``x`` (N, C, H, W), on a CPU in channels-last memory, which pooling takes up to ten times as fast.

    Layers after it keep the format. Shapes and values are the same; a GPU computes float32 faster the other way.
    """
    if x.ndim == 4 and x.device.type == "cpu" and not is_compiling():
        return x.contiguous(memory_format=torch.channels_last)
    return x
