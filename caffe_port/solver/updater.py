"""From accumulated gradients to new weights (Caffe: sgd_solver.cpp, ApplyUpdate).

In Caffe's order: clip by the global norm, divide by iter_size, add the decay, apply the update rule, subtract.
Afterwards each parameter's ``grad`` holds the step that was subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.log import log
from caffe_port.net.graph import Param
from caffe_port.solver.updates import create_rule


class Updater:
    """The update of every learnable parameter of a net, and the histories that it remembers.

    :param param: SolverParameter.
    :param params: the net's learnable parameters.
    :raises SolverError: an unknown rule or regularisation.
    """

    def __init__(self, param: Any, params: Sequence[Param]) -> None:
        self.param = param
        self.params = params
        self.rule = create_rule(param)
        if param.regularization_type not in ("L1", "L2"):
            raise SolverError(f"Unknown regularization type: '{param.regularization_type}'.", remedy="Known: L1, L2.")
        self.histories = [
            [torch.zeros_like(p.blob, requires_grad=False) for _ in range(self.rule.HISTORIES)] for p in params
        ]

    @torch.no_grad()
    def apply(self, rate: float, iteration: int) -> None:
        """Update every parameter that has a gradient; one without (frozen, no loss above it) has the gradient 0."""
        self._clip()
        for param, histories in zip(self.params, self.histories):
            weight = param.blob
            local_rate = rate * (1.0 if param.lr_mult is None else param.lr_mult)
            if weight.grad is None:
                if local_rate == 0 and not any(h.any() for h in histories):
                    continue
                weight.grad = torch.zeros_like(weight)
            self._regularise(weight.data, weight.grad, 1.0 if param.decay_mult is None else param.decay_mult)
            self.rule.step(weight.grad, histories, local_rate, iteration)
            weight.data.sub_(weight.grad)

    def clear(self) -> None:
        """Forget the gradients of the last iteration (Caffe: Net::ClearParamDiffs)."""
        for param in self.params:
            param.blob.grad = None

    def _clip(self) -> None:
        limit = self.param.clip_gradients
        if limit < 0:
            return
        grads = [p.blob.grad for p in self.params if p.blob.grad is not None]
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in grads))
        if norm > limit:
            scale = limit / norm
            log.info(
                "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g", norm, limit, scale
            )
            for grad in grads:
                grad.mul_(scale)

    def _regularise(self, weight: Tensor, grad: Tensor, decay_mult: float) -> None:
        if self.param.iter_size != 1:
            grad.div_(self.param.iter_size)
        decay = self.param.weight_decay * decay_mult
        if decay:
            grad.add_(weight if self.param.regularization_type == "L2" else weight.sign(), alpha=decay)
