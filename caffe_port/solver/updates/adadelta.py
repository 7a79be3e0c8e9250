"""AdaDelta."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.solver.updates.base import UpdateRule, rule


@rule("AdaDelta")
class AdaDelta(UpdateRule):
    """G = momentum * G + (1 - momentum) * grad^2; step = grad * sqrt((U + delta) / (G + delta));
    U = momentum * U + (1 - momentum) * step^2; W = W - rate * step.

    Zeiler 2012. Caffe: adadelta_solver.cpp.
    """

    HISTORIES = 2
    USES = ("momentum", "delta")

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        squares, steps = histories
        momentum, delta = self.param.momentum, self.param.delta
        squares.mul_(momentum).addcmul_(grad, grad, value=1 - momentum)
        grad.mul_(steps.add(delta).div_(squares.add(delta)).sqrt_())
        steps.mul_(momentum).addcmul_(grad, grad, value=1 - momentum)
        grad.mul_(rate)
