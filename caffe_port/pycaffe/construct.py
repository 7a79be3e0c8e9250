"""The arguments of pycaffe's Net, in all the orders that Caffe has had (Caffe: _caffe.cpp, Net_Init)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from caffe_port import net as core
from caffe_port.errors import CaffeWarning, NetError
from caffe_port.net.filter import PHASES
from caffe_port.pycaffe import mode


def construct(
    model: str | Path,
    args: Sequence[Any],
    phase: int | str | None,
    level: int,
    stages: Sequence[str] | None,
    weights: str | Path | None,
) -> core.Net:
    """The net for these arguments; ``args`` are those that were given without names.

    :raises NetError: they do not go together, or there is no phase among them.
    """
    given = {"phase": phase, "level": level, "stages": stages, "weights": weights, **_by_name(args)}
    if given["phase"] is None:
        raise NetError("No phase is given.", remedy="Write Net(model, caffe.TEST) or Net(model, weights, caffe.TEST).")
    given["stages"] = given["stages"] or ()
    net = core.Net(model, **given, seed=mode.seed(), missing="log").to(mode.device())
    if given["weights"] and net.filled:
        text = f"{given['weights']} has no weights for {', '.join(net.filled)}: they start from their fillers."
        warnings.warn(text, CaffeWarning, stacklevel=3)
    return net


def _by_name(args: Sequence[Any]) -> dict[str, Any]:
    """Arguments in either order: the phase first, or the weights as in old scripts."""
    phase_first = bool(args) and (isinstance(args[0], Integral) or args[0] in PHASES)
    order = ("phase", "level", "stages", "weights") if phase_first else ("weights", "phase")
    if len(args) > len(order):
        raise NetError(f"Net takes a model and then at most {', '.join(order)}; {len(args)} arguments came after it.")
    return dict(zip(order, args))
