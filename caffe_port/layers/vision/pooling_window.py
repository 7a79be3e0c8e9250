"""Pooling of one window geometry over the last two axes, as Pooling and SPP use it.

Caffe: pooling_layer.cpp, and pooling_layer.cu for STOCHASTIC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import is_compiling
from caffe_port.layers.vision.layout import fast_layout

Pair = tuple[int, int]


@dataclass(frozen=True)
class PoolingWindow:
    """Kernel, stride and padding, each (vertical, horizontal), and whether the output size rounds up."""

    kernel: Pair
    stride: Pair
    pad: Pair = (0, 0)
    ceil: bool = True

    def outputs(self, spatial: Sequence[int]) -> Pair:
        """(in + 2 * pad - kernel) / stride + 1, rounded up (CEIL) or down (FLOOR).

        Only with padding, a last window that would start beyond the input and its near padding is dropped; without
        any, a stride larger than the kernel may leave a window wholly outside.
        """
        sizes = []
        for n, k, s, p in zip(spatial, self.kernel, self.stride, self.pad):
            room = n + 2 * p - k
            size = (-(-room // s) if self.ceil else room // s) + 1
            if any(self.pad) and (size - 1) * s >= n + p:
                size -= 1
            sizes.append(size)
        return sizes[0], sizes[1]

    def is_native(self, spatial: Sequence[int]) -> bool:
        """Whether torch's own pooling has the same windows: it wants pad <= kernel / 2 and drops every outer window."""
        if any(2 * p > k for p, k in zip(self.pad, self.kernel)):
            return False
        return all((o - 1) * s < n + p for o, s, n, p in zip(self.outputs(spatial), self.stride, spatial, self.pad))

    def padded(self, x: Tensor, value: float) -> Tensor:
        """``x`` with its padding and whatever the last windows reach beyond it, filled with ``value``."""
        margins: list[int] = []
        geometry = zip(x.shape[-2:], self.outputs(x.shape[-2:]), self.kernel, self.stride, self.pad)
        for n, o, k, s, p in reversed(list(geometry)):
            margins += [p, max(0, (o - 1) * s + k - n - p)]
        return F.pad(x, margins, value=value) if any(margins) else x

    def max(self, x: Tensor, want_mask: bool = False) -> tuple[Tensor, Tensor | None]:
        """The greatest element of each window and, on request, its index h * width + w as a number of x's type.

        Of equal elements the first counts. Elements that are NaN or not above -FLT_MAX never count; a window without
        any other, or outside the input, gives -FLT_MAX, index -1 and no gradient.
        """
        lowest = max(torch.finfo(torch.float32).min, torch.finfo(x.dtype).min)
        if self.is_native(x.shape[-2:]):
            settings: dict[str, Any] = {"padding": self.pad, "ceil_mode": self.ceil, "return_indices": want_mask}
            tops = F.max_pool2d(fast_layout(x), self.kernel, self.stride, **settings)
            y, mask = tops if want_mask else (tops, None)
            # One look at the (small) output tells whether an odd element decided a window: torch lets NaN win. A
            # compiled graph cannot branch on values, so there NaN spreads.
            if is_compiling() or bool(y.min() > lowest):
                return y, None if mask is None else mask.to(x.dtype)
        counted = torch.where(x > lowest, x, lowest)
        y, index = F.max_pool2d(self.padded(counted, lowest), self.kernel, self.stride, return_indices=True)
        empty = y == lowest
        y = torch.where(empty, lowest, y)
        return y, self._unpadded(index, x, empty) if want_mask else None

    def _unpadded(self, index: Tensor, x: Tensor, empty: Tensor) -> Tensor:
        """Indices into the padded plane as indices into that of ``x``, -1 where ``empty``."""
        width = self.padded(x[:1, :1], 0).shape[-1]
        row, column = index // width - self.pad[0], index % width - self.pad[1]
        return torch.where(empty, -1, row * x.shape[-1] + column).to(x.dtype)

    def average(self, x: Tensor) -> Tensor:
        """The sum of each window over its size, the window being cut to the input with its padding.

        A window outside the input gives 0, or NaN (0 / 0) where it starts right at the edge.
        """
        if self.is_native(x.shape[-2:]):
            return F.avg_pool2d(fast_layout(x), self.kernel, self.stride, self.pad, ceil_mode=self.ceil)
        sums = F.avg_pool2d(self.padded(x, 0), self.kernel, self.stride, divisor_override=1)
        sizes = []
        for n, o, k, s, p in zip(x.shape[-2:], self.outputs(x.shape[-2:]), self.kernel, self.stride, self.pad):
            start = torch.arange(o, device=x.device) * s - p
            sizes.append((start + k).clamp(max=n + p) - start)
        return sums / torch.outer(*sizes)

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, rows, columns, kernel elements) of an unpadded input; what lies outside is 0."""
        rows = self.padded(x, 0).unfold(2, self.kernel[0], self.stride[0])
        return rows.unfold(3, self.kernel[1], self.stride[1]).flatten(4)

    def sample(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Stochastic pooling in training: the first element at which the running sum reaches u * (sum of the window).

        u is uniform on [0, 1), one per output. Where the sum is negative and nothing reaches it: 0, without gradient.
        """
        windows = self.windows(x)
        running = windows.cumsum(-1)
        # Drawn on the CPU so that every device samples the same elements.
        u = torch.rand(running.shape[:-1], generator=generator).to(running)
        reached = running >= (u * running[..., -1]).unsqueeze(-1)
        chosen = windows.gather(-1, reached.to(torch.uint8).argmax(-1, keepdim=True)).squeeze(-1)
        return torch.where(reached.any(-1), chosen, 0)

    def expect(self, x: Tensor) -> Tensor:
        """Stochastic pooling in testing: sum(x^2) / sum(x), 0 where the sum is not positive."""
        windows = self.windows(x)
        total = windows.sum(-1)
        positive = total > 0
        return torch.where(positive, windows.square().sum(-1) / torch.where(positive, total, 1), 0)
