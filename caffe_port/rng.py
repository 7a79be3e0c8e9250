"""Counter-based random numbers.

A draw is keyed by what it is for (seed, layer, forward pass, item), never by how many were drawn before. The number of
workers therefore cannot change a result, and an exact resume needs only the seed and the position that was consumed.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import torch


def fresh_seed() -> int:
    """A seed from the operating system, for nets and solvers that were given none."""
    return int.from_bytes(os.urandom(4), "little")


def key(*parts: int | str) -> int:
    """A 63-bit number that depends on every one of ``parts`` and on their order."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream is a function of ``parts`` alone."""
    return torch.Generator(device).manual_seed(key(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """The numpy counterpart of :func:`torch_generator`."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))
