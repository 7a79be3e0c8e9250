"""What several commands share: devices, weights, log lines."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.log import log, log_to

gpu_option = click.option(
    "--gpu",
    metavar="ID|all",
    help="Compute on this GPU ('all' works where there is one). Without it: the CPU, unless a solver file sets "
    "solver_mode: GPU.",
)
weights_option = click.option(
    "--weights",
    metavar="FILE[,FILE]",
    help="Weights to start from (.caffemodel or .caffemodel.h5), copied by layer name; other layers start from their "
    "fillers.",
)
level_option = click.option("--level", default=0, show_default=True, help="Level for include and exclude rules.")
stage_option = click.option(
    "--stage", default="", metavar="STAGE[,STAGE]", help="Stages for include and exclude rules."
)
unknown_option = click.option(
    "--allow-unknown", is_flag=True, help="Warn about unknown prototxt fields instead of refusing them."
)


def unknown(allow: bool) -> str:
    """The library's word for ``--allow-unknown``."""
    return "warn" if allow else "error"


def split_stages(stage: str) -> list[str]:
    """The stages of ``--stage``."""
    return [name for name in stage.split(",") if name]


def log_to_stderr() -> None:
    """Show the log on standard error, as Caffe does, until the command ends."""
    level = log.level
    handler = log_to(sys.stderr)

    def restore() -> None:
        log.removeHandler(handler)
        log.setLevel(level)

    click.get_current_context().call_on_close(restore)


def report_known(weights: str) -> None:
    """Log which of the files in ``weights`` is a published one, and warn of one that only bears its name."""
    from caffe_port import known_files

    for name in weights.split(","):
        if os.path.isfile(name.strip()):  # what is missing is reported by whoever loads it
            known_files.report(name.strip())


def choose_device(gpu: str | None, solver_param: Any = None) -> Any:
    """The ``torch.device`` for ``--gpu``, or, without it, for the solver's ``solver_mode`` if it sets one.

    :raises CaffeError: a GPU was asked for on the command line and cannot be had. A solver file that asks for one where
        there is none gets a warning and the CPU.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu is not None:
        return torch.device("cuda", _gpu_id(gpu, count))
    if solver_param is None or not solver_param.HasField("solver_mode") or solver_param.solver_mode != 1:
        return torch.device("cpu")
    if not count:
        warnings.warn(
            "The solver asks for solver_mode: GPU, but there is none: using the CPU.", CaffeWarning, stacklevel=2
        )
        return torch.device("cpu")
    if not 0 <= solver_param.device_id < count:
        raise CaffeError(f"device_id {solver_param.device_id}: {_usable(count)}.", remedy="Mend the solver file.")
    return torch.device("cuda", solver_param.device_id)


def gpu_ids(gpu: str, count: int) -> list[int]:
    """The GPUs, of ``count``, that ``--gpu`` names.

    :raises CaffeError: it names none, or one that is not there.
    """
    names = [str(index) for index in range(count)]
    chosen = names if gpu == "all" else [part.strip() for part in gpu.split(",")]
    if not chosen or not set(chosen) <= set(names):
        raise CaffeError(f"--gpu {gpu}: {_usable(count)}.", remedy="Leave --gpu out to compute on the CPU.")
    return [int(name) for name in chosen]


def _gpu_id(gpu: str, count: int) -> int:
    """The one GPU, of ``count``, that ``--gpu`` names.

    :raises CaffeError: it names none that is there, or several.
    """
    first, *more = gpu_ids(gpu, count)
    if more:
        raise CaffeError(f"--gpu {gpu}: one GPU is used at a time.", remedy=f"Choose one, as in --gpu {first}.")
    return first


def _usable(count: int) -> str:
    return f"GPUs 0 to {count - 1} are usable" if count else "no usable GPU was found"
