"""Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from caffe_port.solver.updates.base import UpdateRule, rule


@rule("Adam")
class Adam(UpdateRule):
    """M = b1 * M + (1 - b1) * grad; V = b2 * V + (1 - b2) * grad^2; with t counted from 1,
    W = W - rate * sqrt(1 - b2^t) / (1 - b1^t) * M / (sqrt(V) + delta), where b1 is momentum and b2 momentum2.

    Kingma and Ba 2015; its epsilon stands where they mention it last, outside the bias correction, so that
    ``torch.optim.Adam`` differs. Caffe: adam_solver.cpp.
    """

    HISTORIES = 2
    USES = ("momentum", "momentum2", "delta")

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        mean, squares = histories
        b1, b2, t = self.param.momentum, self.param.momentum2, iteration + 1
        correction = math.sqrt(1 - b2**t) / (1 - b1**t)
        mean.mul_(b1).add_(grad, alpha=1 - b1)
        squares.mul_(b2).addcmul_(grad, grad, value=1 - b2)
        grad.copy_(mean).div_(squares.sqrt().add_(self.param.delta)).mul_(rate * correction)
