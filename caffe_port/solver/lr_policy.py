"""Learning rate policies (Caffe: sgd_solver.cpp, GetLearningRate).

Powers are taken in double precision of the single-precision settings and rounded once, as Caffe does; its sums and
quotients inside ``inv``, ``poly`` and ``sigmoid`` are single precision there, so they are here. ``iteration`` is the
number of updates applied so far.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe_port.errors import CaffeWarning, SolverError
from caffe_port.log import log

f32 = np.float32
f64 = np.float64


#: Settings that some policies read, and which do.
SETTINGS = {
    "gamma": ("step", "exp", "inv", "multistep", "sigmoid"),
    "power": ("inv", "poly"),
    "stepsize": ("step", "sigmoid"),
    "stepvalue": ("multistep",),
}


class LearningRate:
    """The rate of each iteration for one SolverParameter.

    ``current_step`` counts the decays of ``step`` and ``multistep``; it is part of a snapshot.

    :raises SolverError: an unknown policy, or one whose settings Caffe refuses.
    """

    def __init__(self, param: Any) -> None:
        self.param = param
        self.gamma = f64(param.gamma)
        self.current_step = 0
        policy = param.lr_policy
        if policy not in POLICIES:
            raise SolverError(
                f"Unknown learning rate policy: '{policy}'.", remedy=f"Known: {', '.join(sorted(POLICIES))}."
            )
        if policy in ("step", "sigmoid") and param.stepsize <= 0:
            raise SolverError(f"lr_policy '{policy}' has stepsize {param.stepsize}.", remedy="Set it above 0.")
        if policy not in ("fixed", "poly") and param.gamma < 0:
            raise SolverError(f"lr_policy '{policy}' has gamma {param.gamma:g}.", remedy="Set it to 0 or above.")
        for name, policies in SETTINGS.items():
            if policy not in policies and getattr(param, name):
                warnings.warn(f"'{name}' has no effect under lr_policy '{policy}'.", CaffeWarning, stacklevel=3)

    def rate(self, iteration: int) -> float:
        """The rate of this iteration, rounded to single precision."""
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            return float(f32(POLICIES[self.param.lr_policy](self, iteration)))

    def peek(self, iteration: int) -> float:
        """The rate that :meth:`rate` is about to give, without any effect (under multistep to ask is to advance)."""
        step = self.current_step
        try:
            return self.rate(iteration)
        finally:
            self.current_step = step

    @property
    def base(self) -> f64:
        """``base_lr``, which programs may change during a training."""
        return f64(self.param.base_lr)

    def _fixed(self, iteration: int) -> f64:
        return self.base

    def _step(self, iteration: int) -> f64:
        self.current_step = iteration // self.param.stepsize
        return self.base * self.gamma**self.current_step

    def _exp(self, iteration: int) -> f64:
        return self.base * self.gamma**iteration

    def _inv(self, iteration: int) -> f64:
        return self.base * f64(f32(1) + f32(self.gamma) * f32(iteration)) ** -f64(self.param.power)

    def _multistep(self, iteration: int) -> f64:
        """At most one step per iteration: two equal step values take effect one iteration apart."""
        values = self.param.stepvalue
        if self.current_step < len(values) and iteration >= values[self.current_step]:
            self.current_step += 1
            log.info("MultiStep Status: Iteration %d, step = %d", iteration, self.current_step)
        return self.base * self.gamma**self.current_step

    def _poly(self, iteration: int) -> f64:
        return self.base * f64(f32(1) - f32(iteration) / f32(self.param.max_iter)) ** f64(self.param.power)

    def _sigmoid(self, iteration: int) -> f64:
        exponent = -f32(self.gamma) * (f32(iteration) - f32(self.param.stepsize))
        return self.base * f64(f32(1) / (f32(1) + np.exp(exponent)))


POLICIES: dict[str, Callable[[LearningRate, int], f64]] = {
    "fixed": LearningRate._fixed,
    "step": LearningRate._step,
    "exp": LearningRate._exp,
    "inv": LearningRate._inv,
    "multistep": LearningRate._multistep,
    "poly": LearningRate._poly,
    "sigmoid": LearningRate._sigmoid,
}
