"""How GPUs round."""

from __future__ import annotations

import torch


def use_float32(tf32: bool = False) -> None:
    """Let GPUs convolve and multiply in float32, as Caffe does, or with ``tf32`` round the factors to ten bits first.

    PyTorch allows TF32 in convolutions unless told otherwise. It holds for the whole process.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
