"""What several commands share: devices, weights, log lines."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import click

from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.log import log_to

gpu_option = click.option(
    "--gpu", metavar="ID|all", help="Compute on this GPU ('all': on every one). Without it: the CPU."
)
weights_option = click.option(
    "--weights", metavar="FILE[,FILE]", help="Weights to start from: .caffemodel or .caffemodel.h5."
)
unknown_option = click.option(
    "--allow-unknown", is_flag=True, help="Warn about unknown prototxt fields instead of refusing them."
)


def unknown(allow: bool) -> str:
    """The library's word for ``--allow-unknown``."""
    return "warn" if allow else "error"


def log_to_stderr() -> None:
    """Show the log on standard error, as Caffe does."""
    log_to(sys.stderr)


def choose_device(gpu: str | None, solver_param: Any = None) -> Any:
    """The ``torch.device`` for ``--gpu``, or, without it, for the solver's ``solver_mode`` if it sets one.

    :raises CaffeError: a GPU was asked for on the command line and cannot be had. A solver file that asks for one where
        there is none gets a warning and the CPU.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu is None:
        wants = solver_param is not None and solver_param.HasField("solver_mode") and solver_param.solver_mode == 1
        if wants and not count:
            warnings.warn(
                "The solver asks for solver_mode: GPU, but there is none: using the CPU.", CaffeWarning, stacklevel=2
            )
        return torch.device("cuda", solver_param.device_id) if wants and count else torch.device("cpu")
    if gpu == "all" and count:
        ids = list(range(count))
    else:
        ids = [int(part) for part in gpu.split(",") if part.strip().isdigit()]
    if not ids or max(ids) >= count:
        have = f"GPUs 0 to {count - 1} are usable" if count else "no usable GPU was found"
        raise CaffeError(f"--gpu {gpu}: {have}.", remedy="Leave --gpu out to compute on the CPU.")
    if len(ids) > 1:
        raise CaffeError(f"--gpu {gpu}: training runs on one GPU.", remedy=f"Choose one, as in --gpu {ids[0]}.")
    return torch.device("cuda", ids[0])
