"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from caffe_port.solver.updates.base import UpdateRule, rule


@rule("SGD")
class SGD(UpdateRule):
    """V = momentum * V + rate * grad; W = W - V.

    This is Eq. 2 of Tajbakhsh et al. 2016 with V's sign turned. The rate is inside the history, so that after a change
    of the rate the old steps go on at their old size; ``torch.optim.SGD`` keeps it outside. Caffe: sgd_solver.cpp.
    """

    USES = ("momentum",)

    def update(
        self,
        weight: Tensor,
        grad: Tensor,
        histories: Sequence[Tensor],
        rate: float,
        decay: float,
        iteration: int,
    ) -> None:
        """See :meth:`UpdateRule.update`; where torch has a fused kernel, in one pass over the memory.

        The kernel computes V = momentum * V + grad / scale + d * W; W = W - lr * V. With scale = iter_size / rate,
        d = rate * decay and lr = 1 that is Caffe's rule with the rate inside.
        """
        # Without momentum the kernel keeps no V, which a snapshot needs. It goes through memory as it lies, so that a
        # gradient in another order of axes (convolutions make such ones) would reach the wrong weights.
        fused = rate and self.param.momentum and self.param.regularization_type == "L2"
        fused = fused and grad.stride() == weight.stride() == histories[0].stride()
        if not fused or not _has_fused_kernel(weight.device.type):
            super().update(weight, grad, histories, rate, decay, iteration)
            return
        sgd(
            [weight],
            [grad],
            list(histories),
            fused=True,
            grad_scale=torch.full((), self.param.iter_size / rate, device=weight.device),  # without waiting for a GPU
            found_inf=None,
            weight_decay=rate * decay,
            momentum=self.param.momentum,
            lr=1.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            has_sparse_grad=False,
        )

    def show_step(self, grad: Tensor, histories: Sequence[Tensor]) -> None:
        """See :meth:`UpdateRule.show_step`: the step is the history."""
        grad.copy_(histories[0])

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        (velocity,) = histories
        velocity.mul_(self.param.momentum).add_(grad, alpha=rate)
        grad.copy_(velocity)


@cache
def _has_fused_kernel(device_type: str) -> bool:
    """Whether this torch has the kernel for the device: CUDA since 2.3, the CPU since 2.4."""
    one = [torch.ones(1, device=device_type) for _ in range(3)]
    try:
        sgd(
            [one[0]], [one[1]], [one[2]], fused=True, weight_decay=0.0, momentum=0.5, lr=1.0, dampening=0.0,
            nesterov=False, maximize=False, has_sparse_grad=False,
        )  # fmt: skip
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True
