"""pycaffe's process-wide settings: CPU or GPU, and the random seed of nets made from now on."""

from __future__ import annotations

import warnings

import torch

from caffe_port.errors import CaffeError, CaffeWarning

_device = 0
_gpu = False
_seed: int | None = None


def set_mode_cpu() -> None:
    """Compute on the CPU."""
    global _gpu
    _gpu = False


def set_mode_gpu() -> None:
    """Compute on the GPU; where there is none, warn and stay on the CPU, so that old scripts run."""
    global _gpu
    _gpu = torch.cuda.is_available()
    if not _gpu:
        warnings.warn("No usable GPU was found: computing on the CPU.", CaffeWarning, stacklevel=2)


def set_device(index: int) -> None:
    """Choose the GPU that :func:`set_mode_gpu` uses."""
    global _device
    _device = index


def set_random_seed(seed: int) -> None:
    """Make fillers, dropout and data augmentation of nets made from now on reproducible."""
    global _seed
    _seed = seed


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
