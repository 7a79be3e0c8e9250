"""Training in several processes as Caffe's train.py sets it up (Caffe: parallel.cpp, NCCL)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import torch
import torch.distributed as dist

from caffe_port.pycaffe import mode
from caffe_port.solver.parallel import Place, Ranks, join

if TYPE_CHECKING:
    from caffe_port.pycaffe.solver import Solver


class NCCL:
    """Averages the gradients of the solvers of several processes: through NCCL on GPUs, through gloo on the CPU.

    Each process says its place (``set_solver_count``, ``set_solver_rank``), makes its solver and this with the ``uid``
    that one of them got from :meth:`new_uid`, calls :meth:`bcast`, and gives it to ``solver.add_callback``. To give it
    to ``net.after_backward`` too (``layer_wise_reduce``) changes nothing here.

    :raises ParallelError: not all the processes come, or, later, one of them is gone.
    """

    def __init__(self, solver: Solver, uid: bytes | str) -> None:
        self._solver = solver
        url = uid.decode() if isinstance(uid, bytes) else uid
        rank, count = mode.solver_rank(), mode.solver_count()
        self._ranks: Ranks = join(Place(rank, count, rank, count, url), mode.device())

    @staticmethod
    def new_uid() -> bytes:
        """A new place where the processes of this machine meet."""
        store = Path(tempfile.mkdtemp(prefix="caffe-port-")) / "store"
        return unquote(store.as_uri()).encode()

    def bcast(self) -> None:
        """Give every solver the weights of the first one."""
        self._solver.net._push()
        self._ranks.broadcast(param.blob for param in self._solver.net._net.params)
        self._solver.net._pull()

    def on_start(self) -> None:
        """Nothing is due before the passes."""

    def on_gradients_ready(self) -> None:
        """Let every solver have the mean of all gradients."""
        self._solver.net._push()
        self._ranks.average([p.blob for p in self._solver.net._net.params if p.blob.requires_grad])
        self._solver.net._pull()


def has_nccl() -> bool:
    """Whether solvers on GPUs can train together."""
    return torch.cuda.is_available() and dist.is_nccl_available()
