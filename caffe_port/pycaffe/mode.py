"""pycaffe's process-wide settings: CPU or GPU, random seed, place among the processes of a training, log.

They count for nets and solvers made from now on (Caffe: common.cpp).
"""

from __future__ import annotations

import logging
import operator
import sys
import warnings

import torch

from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.log import GlogFormatter
from caffe_port.log import log as logger
from caffe_port.precision import use_float32
from caffe_port.solver.parallel import Ranks

_device = 0
_gpu = False
_seed: int | None = None
_rank, _count = 0, 1


def set_mode_cpu() -> None:
    """Compute on the CPU."""
    global _gpu
    _gpu = False


def set_mode_gpu() -> None:
    """Compute on the GPU; where there is none, warn and stay on the CPU, so that old scripts run."""
    global _gpu
    _gpu = torch.cuda.is_available()
    use_float32()
    if not _gpu:
        warnings.warn("No usable GPU was found: computing on the CPU.", CaffeWarning, stacklevel=2)


def set_device(index: int) -> None:
    """Choose the GPU that :func:`set_mode_gpu` uses.

    :raises TypeError: ``index`` is no integer.
    """
    global _device
    _device = operator.index(index)


def set_random_seed(seed: int) -> None:
    """Make fillers, dropout and data augmentation of nets made from now on reproducible.

    :raises TypeError: ``seed`` is no integer.
    """
    global _seed
    _seed = operator.index(seed)


def device() -> torch.device:
    """Where nets made now compute.

    :raises CaffeError: :func:`set_device` chose a GPU that is not there.
    """
    if not _gpu:
        return torch.device("cpu")
    if not 0 <= _device < torch.cuda.device_count():
        raise CaffeError(f"There is no GPU {_device}.", remedy=f"There are {torch.cuda.device_count()}, from 0 on.")
    return torch.device("cuda", _device)


def seed() -> int | None:
    """The seed of nets made now; None: a fresh one each."""
    return _seed


def set_solver_count(count: int) -> None:
    """Say how many processes train together."""
    global _count
    _count = count


def set_solver_rank(rank: int) -> None:
    """Say which of them, from 0, this one is; only number 0 tests and writes snapshots."""
    global _rank
    _rank = rank


def solver_count() -> int:
    """How many processes train together."""
    return _count


def solver_rank() -> int:
    """The number of this one."""
    return _rank


def set_multiprocess(multiprocess: bool) -> None:
    """Accepted for old scripts: solvers that train together are always processes here, never threads."""


def ranks() -> Ranks:
    """The place of solvers made now: data layers deal their batches out by it. Nothing is exchanged.

    :raises CaffeError: there is no such place.
    """
    if not 0 <= _rank < _count:
        raise CaffeError(f"Solver rank {_rank} of {_count}.", remedy="Call set_solver_count and set_solver_rank.")
    return _Apart(_rank, _count)


class _Apart(Ranks):
    """A place among processes that are not connected by the solver: an NCCL callback may do that."""

    def share(self, value: int) -> int:
        return value

    def broadcast(self, tensors: object) -> None:
        pass

    def average(self, weights: object, code: int = 0) -> int:
        return code


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Show Caffe's log on standard error from now on.

    :param level: the least severity: 0 info, 1 warning, 2 error, 3 fatal.
    :param stderr: False: show nothing (glog would write files).
    """
    for handler in [each for each in logger.handlers if isinstance(each.formatter, GlogFormatter)]:
        logger.removeHandler(handler)
    if stderr:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(GlogFormatter())
        logger.addHandler(handler)
        logger.setLevel((logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)[min(max(level, 0), 3)])


def log(message: str) -> None:
    """Write a line of one's own into the log."""
    logger.info("%s", message)
