"""From accumulated gradients to new weights (Caffe: sgd_solver.cpp, ApplyUpdate).

In Caffe's order: clip by the global norm, then, parameter by parameter, what :meth:`UpdateRule.update` does. That uses
the gradients up; :meth:`Updater.show_steps` makes them hold the steps that were subtracted, as Caffe's diffs do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import SolverError
from caffe_port.layers.gradients import release_gradient
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
        self._resting: dict[int, bool] = {}

    @torch.no_grad()
    def apply(self, rate: float, iteration: int) -> None:
        """Update every parameter; one without a gradient (frozen, or under no loss) has the gradient 0."""
        self._clip()
        for index, param in enumerate(self.params):
            weight, histories = param.blob, self.histories[index]
            local_rate = rate * (1.0 if param.lr_mult is None else param.lr_mult)
            if weight.grad is None:
                if local_rate == 0 and self._rests(index):
                    continue
                weight.grad = torch.zeros_like(weight)
            self._resting.pop(index, None)
            decay = self.param.weight_decay * (1.0 if param.decay_mult is None else param.decay_mult)
            self.rule.update(weight.data, weight.grad, histories, local_rate, decay, iteration)

    def _rests(self, index: int) -> bool:
        """Whether the histories of a parameter are all zero; looked up once until it is updated, as it may be large."""
        if index not in self._resting:
            self._resting[index] = not any(bool(history.any()) for history in self.histories[index])
        return self._resting[index]

    def set_histories(self, arrays: Sequence[Tensor]) -> None:
        """Copy ``arrays``, in the order of :meth:`flat_histories`, into the histories."""
        for target, value in zip(self.flat_histories(), arrays):
            target.copy_(value.view(target.shape))
        self._resting.clear()

    def flat_histories(self) -> list[Tensor]:
        """All first histories, then all second ones: the order of a snapshot."""
        return [histories[k] for k in range(self.rule.HISTORIES) for histories in self.histories]

    @torch.no_grad()
    def show_steps(self) -> None:
        """Make every gradient hold the step that was last subtracted, as Caffe's diffs do after an update."""
        for param, histories in zip(self.params, self.histories):
            if param.blob.grad is not None:
                self.rule.show_step(param.blob.grad, histories)

    def clear(self) -> None:
        """Forget the gradients of the last iteration (Caffe: Net::ClearParamDiffs)."""
        for param in self.params:
            release_gradient(param.blob)

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
