"""Nesterov's accelerated gradient."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.solver.updates.base import UpdateRule, rule


@rule("Nesterov")
class Nesterov(UpdateRule):
    """V' = momentum * V + rate * grad; W = W - ((1 + momentum) * V' - momentum * V).

    Nesterov 1983, in the form of Sutskever et al. 2013. Caffe: nesterov_solver.cpp.
    """

    USES = ("momentum",)

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        (velocity,) = histories
        momentum = self.param.momentum
        old = velocity.clone()
        velocity.mul_(momentum).add_(grad, alpha=rate)
        grad.copy_(velocity).mul_(1 + momentum).sub_(old, alpha=momentum)
