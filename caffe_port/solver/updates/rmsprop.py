"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.solver.updates.adagrad import refuse_momentum
from caffe_port.solver.updates.base import UpdateRule, rule


@rule("RMSProp")
class RMSProp(UpdateRule):
    """H = rms_decay * H + (1 - rms_decay) * grad^2; W = W - rate * grad / (sqrt(H) + delta).

    Tieleman and Hinton 2012. Caffe: rmsprop_solver.cpp.
    """

    USES = ("delta", "rms_decay")

    def __init__(self, param: Any) -> None:
        super().__init__(param)
        refuse_momentum(param)
        if not 0 <= param.rms_decay < 1:
            raise SolverError(f"rms_decay is {param.rms_decay:g}.", remedy="It must be at least 0 and below 1.")

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """See :meth:`UpdateRule.step`."""
        (squares,) = histories
        decay = self.param.rms_decay
        squares.mul_(decay).addcmul_(grad, grad, value=1 - decay)
        grad.div_(squares.sqrt().add_(self.param.delta)).mul_(rate)
