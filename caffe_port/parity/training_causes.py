"""Why two trainings part: what the first update shows, and the usual suspects for the iteration at which they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

#: In how many iterations a wrong update shows in the loss, mostly.
_LAG = 5
#: Our first update, the reference's, and the weights before it.
Update = tuple[np.ndarray, np.ndarray, np.ndarray]


def explain_update(updates: Mapping[str, Update], tolerance: float, rate: float) -> Iterator[str]:
    """Combinations of our first update and the weights that give the reference's first update.

    :param rate: our learning rate in the first iteration.
    """
    moved = {name: update for name, update in updates.items() if update[0].any() or update[1].any()}
    if not moved:
        return
    ours, theirs, start = (np.concatenate([u[i].ravel().astype(np.float64) for u in moved.values()]) for i in range(3))
    for what, term in (("", None), ("their values (weight_decay)", start), ("their signs (L1)", np.sign(start))):
        columns = np.stack([ours] if term is None else [ours, term], axis=1)
        factors, *_ = np.linalg.lstsq(columns, theirs, rcond=None)
        if np.abs(columns @ factors - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1e-30):
            text = f"The reference's first update is {factors[0]:.4g} times ours"
            if term is not None:
                text += (
                    f", less {-factors[1]:.4g} times {what}: a difference of {-factors[1] / rate:.4g} in weight_decay"
                )
            yield text + "."
            return
    factors = {name: _factor(ours, theirs, tolerance) for name, (ours, theirs, _) in moved.items()}
    if all(factor is not None for factor in factors.values()):
        said = ", ".join(f"{name} {factor:.4g}" for name, factor in factors.items())
        yield f"The reference's first update is ours times a factor for each blob (lr_mult): {said}."


def _factor(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> float | None:
    square = float((ours.astype(np.float64) ** 2).sum())
    factor = float((ours.astype(np.float64) * theirs).sum()) / square if square else 0.0
    fits = np.abs(factor * ours - theirs).max(initial=0) <= tolerance * max(np.abs(theirs).max(initial=0), 1e-30)
    return factor if fits else None


def causes(first: str, iteration: int | None, rates: Sequence[float], param: Any) -> Iterator[str]:
    """Where to look, the likeliest first.

    :param first: what diverges first, as a :class:`TrainingReport` has it; ``iteration`` when.
    :param rates: our learning rates by iteration.
    :param param: the SolverParameter.
    """
    if iteration == 0:
        yield "another file of weights, or another shape of a layer"
    elif iteration == 1 and "loss" in first:
        yield from (
            "other data: order, batch_size, mean, scale, crop, mirror",
            "a random layer (dropout) in TRAIN phase",
        )
        yield 'the net itself: compare one pass with "caffe-port parity NET WEIGHTS --reference"'
    elif iteration == 1:
        yield from ("base_lr and lr_mult", "weight_decay, decay_mult and regularization_type")
        yield from (
            ("iter_size", "clip_gradients") if param.iter_size > 1 or param.clip_gradients > 0 else ("iter_size",)
        )
        yield f"the solver's type ({param.type}) and delta"
    elif iteration is not None:
        changes = [i for i in range(1, iteration - 1) if rates[i] != rates[i - 1]]
        if changes and len(changes) < iteration - 2 and iteration - changes[-1] <= _LAG:
            old, new = rates[changes[-1] - 1], rates[changes[-1]]
            yield f"lr_policy ({param.lr_policy}): the rate went from {old:g} to {new:g} in iteration {changes[-1] + 1}"
        if iteration <= _LAG:
            yield "momentum and the other histories of updates, which count from the second update on"
        yield "the order of the data from here on (the end of an epoch, shuffle)"
        yield from ("lr_policy, gamma, power, stepsize and stepvalue", "iter_size and clip_gradients")
    else:
        yield from ("rounding, which grows: compare a shorter training", "a layer that the loss hardly depends on")
