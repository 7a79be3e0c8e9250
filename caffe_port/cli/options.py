"""What several commands share: devices, weights, log lines."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.log import log_to

if TYPE_CHECKING:
    from caffe_port.solver.parallel import Place

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

dialect_option = click.option(
    "--dialect",
    type=click.Choice(["bvlc", "nvidia", "intel", "ssd"]),
    help="Whose Caffe wrote a binary net.  [default: told by its fields]",
)


def unknown(allow: bool) -> str:
    """The library's word for ``--allow-unknown``."""
    return "warn" if allow else "error"


def split_stages(stage: str) -> list[str]:
    """The stages of ``--stage``."""
    return [name for name in stage.split(",") if name]


def log_to_stderr() -> None:
    """Show the log on standard error, as Caffe does, until the command ends."""
    click.get_current_context().with_resource(log_to(sys.stderr))


def report_known(weights: str) -> None:
    """Log which of the files in ``weights`` is a published one, and warn of one that only bears its name."""
    from caffe_port import known_files

    for name in weights.split(","):
        if os.path.isfile(name.strip()):  # what is missing is reported by whoever loads it
            known_files.report(name.strip())


def choose_device(gpu: str | None, solver_param: Any = None) -> Any:
    """The ``torch.device`` for ``--gpu``, or, without it, for the solver's ``solver_mode`` if it sets one.

    A GPU is told to compute in float32, as Caffe does.

    :raises CaffeError: a GPU was asked for on the command line and cannot be had. A solver file that asks for one where
        there is none gets a warning and the CPU.
    """
    import torch

    from caffe_port.precision import use_float32

    use_float32()
    count = gpu_count()
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


def choose_devices(gpu: str | None, procs: int | None, solver_param: Any, place: Place | None) -> list[Any]:
    """The ``torch.device`` of every process on this machine that is to train: many for ``--gpu 0,1`` and ``--procs 2``.

    :param place: of this process, if it is one of several already (torchrun); what the flags say must fit then.
    :raises CaffeError: as :func:`choose_device`, or the flags contradict one another or ``place``.
    """
    import torch

    if gpu is not None and procs is not None:
        raise CaffeError("Both --gpu and --procs are given.", remedy="--procs is for training on the CPU.")
    devices = [torch.device("cpu")] * (procs or 0)
    if gpu is not None:
        devices = [torch.device("cuda", index) for index in gpu_ids(gpu, gpu_count())]
    local = 1 if place is None else place.local_world
    if not devices:
        devices = [choose_device(None, solver_param)] * local
        if devices[0].type == "cuda" and local > 1:
            devices = [torch.device("cuda", index) for index in gpu_ids(",".join(map(str, range(local))), gpu_count())]
    if place is not None and len(devices) != local:
        raise CaffeError(
            f"--gpu or --procs is for {len(devices)} processes; torchrun started {local} on this machine.",
            remedy="Leave the flag out, or name as many.",
        )
    return devices


def gpu_count() -> int:
    """The number of usable GPUs."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_ids(gpu: str, count: int) -> list[int]:
    """The GPUs, of ``count``, that ``--gpu`` names.

    :raises CaffeError: it names none, one twice, or one that is not there.
    """
    names = [str(index) for index in range(count)]
    chosen = names if gpu == "all" else [part.strip() for part in gpu.split(",")]
    if not chosen or not set(chosen) <= set(names):
        raise CaffeError(f"--gpu {gpu}: {_usable(count)}.", remedy="Leave --gpu out to compute on the CPU.")
    if len(set(chosen)) < len(chosen):
        raise CaffeError(f"--gpu {gpu}: a GPU is named twice.", remedy="Name each once.")
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
