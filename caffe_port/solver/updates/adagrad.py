"""AdaGrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.solver.updates.base import UpdateRule, rule


@rule("AdaGrad")
class AdaGrad(UpdateRule):
    """H = H + grad^2; W = W - rate * grad / (sqrt(H) + delta). Duchi et al. 2011. Caffe: adagrad_solver.cpp."""

    USES = ("delta",)

    def __init__(self, param: Any) -> None:
        super().__init__(param)
        refuse_momentum(param)

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        (squares,) = histories
        squares.addcmul_(grad, grad)
        grad.div_(squares.sqrt().add_(self.param.delta)).mul_(rate)


def refuse_momentum(param: Any) -> None:
    """:raises SolverError: a momentum is set."""
    if param.momentum:
        raise SolverError(f"Momentum cannot be used with {param.type}.", remedy="Remove 'momentum' or set it to 0.")
