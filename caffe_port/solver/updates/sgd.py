"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.solver.updates.base import UpdateRule, rule


@rule("SGD")
class SGD(UpdateRule):
    """V = momentum * V + rate * grad; W = W - V.

    This is Eq. 2 of Tajbakhsh et al. 2016 with V's sign turned. The rate is inside the history, so that after a change
    of the rate the old steps go on at their old size; ``torch.optim.SGD`` keeps it outside. Caffe: sgd_solver.cpp.
    """

    USES = ("momentum",)

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        (velocity,) = histories
        velocity.mul_(self.param.momentum).add_(grad, alpha=rate)
        grad.copy_(velocity)
