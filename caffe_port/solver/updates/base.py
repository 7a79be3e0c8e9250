"""What an update rule is, and the registry of rules by Caffe's solver type."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from caffe_port.errors import CaffeWarning, SolverError

#: Settings of a SolverParameter that belong to some rules only.
SETTINGS = ("momentum", "momentum2", "rms_decay", "delta")


class UpdateRule:
    """Turns a gradient into the step that is subtracted from the weights.

    ``HISTORIES`` is how many arrays of the weight's shape the rule remembers per parameter; a snapshot holds them rule
    array by rule array (all first arrays, then all second ones).
    """

    TYPE: ClassVar[str] = ""
    HISTORIES: ClassVar[int] = 1
    #: Which of :data:`SETTINGS` the rule reads.
    USES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, param: Any) -> None:
        self.param = param
        for name in SETTINGS:
            if param.HasField(name) and name not in self.USES and getattr(param, name):
                warnings.warn(f"'{name}' has no effect on a {self.TYPE} solver.", CaffeWarning, stacklevel=3)

    def update(
        self,
        weight: Tensor,
        grad: Tensor,
        histories: Sequence[Tensor],
        rate: float,
        decay: float,
        iteration: int,
    ) -> None:
        """Change ``weight`` and ``histories`` in place; ``grad`` is used up.

        In Caffe's order: divide by iter_size, add the decay, compute the step, subtract it.

        :param rate: learning rate times the parameter's lr_mult.
        :param decay: weight_decay times the parameter's decay_mult.
        :param iteration: number of updates applied before this one.
        """
        if self.param.iter_size != 1:
            grad.div_(self.param.iter_size)
        if decay:
            grad.add_(weight if self.param.regularization_type == "L2" else weight.sign(), alpha=decay)
        self.step(grad, histories, rate, iteration)
        weight.sub_(grad)

    def show_step(self, grad: Tensor, histories: Sequence[Tensor]) -> None:
        """Make ``grad`` hold the step that the last :meth:`update` subtracted, if it does not."""

    def step(self, grad: Tensor, histories: Sequence[Tensor], rate: float, iteration: int) -> None:
        """Replace ``grad`` by the step, in place, and update ``histories``.

        Parameters as in :meth:`update`.
        """
        raise SolverError(f"Solver type {self.TYPE} has no update rule.")


_RULES: dict[str, type[UpdateRule]] = {}


def rule(type_name: str) -> Callable[[type[UpdateRule]], type[UpdateRule]]:
    """Class decorator: file an update rule under Caffe's solver type."""

    def decorate(cls: type[UpdateRule]) -> type[UpdateRule]:
        cls.TYPE = type_name
        _RULES[type_name] = cls
        return cls

    return decorate


def create_rule(param: Any) -> UpdateRule:
    """The rule that a SolverParameter asks for.

    :raises SolverError: an unknown type.
    """
    if param.type not in _RULES:
        raise SolverError(f"Unknown solver type: '{param.type}'.", remedy=f"Known: {', '.join(sorted(_RULES))}.")
    return _RULES[param.type](param)
