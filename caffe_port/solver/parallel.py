"""Data-parallel training: several processes, each with its own net and its own share of every batch.

Before every update each process gets the mean of all the gradients (Caffe: parallel.cpp, NCCL::on_gradients_ready), so
that all weights stay equal. The process of rank 0 tests, logs, snapshots, and decides when to stop.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

import torch
import torch.distributed as dist
from torch import Tensor

from caffe_port.errors import ParallelError

#: How long the processes wait for one another at the start; afterwards a test pass of rank 0 may take longer.
JOIN_TIME = timedelta(minutes=5)
RUN_TIME = timedelta(days=1)
#: Gradients that travel together: few messages, yet one is packed while the one before it is under way.
BUCKET_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class Place:
    """One process among ``world``, and where they meet (a URL of torch.distributed). ``local_*``: on this machine."""

    rank: int
    world: int
    local_rank: int
    local_world: int
    rendezvous: str = "env://"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Place | None:
        """What torchrun (or :meth:`environment`) left for this process; None: it was started by itself.

        :raises ParallelError: a variable is no such number.
        """
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return None
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        given = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", **environment}
        try:
            rank, world, local_rank, local_world = (int(given[name]) for name in names)
        except ValueError:
            rank = world = local_rank = local_world = -1
        if not (0 <= rank < world and 0 <= local_rank < local_world):
            values = ", ".join(f"{name}={given[name]}" for name in names)
            raise ParallelError(f"These environment variables contradict one another: {values}.", remedy="Unset them.")
        return cls(rank, world, local_rank, local_world, environment.get("CAFFE_PORT_RENDEZVOUS", cls.rendezvous))

    def environment(self) -> dict[str, str]:
        """The variables from which :meth:`from_environment` makes this place."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_world),
            "CAFFE_PORT_RENDEZVOUS": self.rendezvous,
        }


class Ranks:
    """This process among those that train together; every method is called by all of them, in the same order.

    Without others (``world`` 1, the default) nothing is exchanged. :func:`join` makes one with others. As a context
    manager it waits, at the end of a block without an exception, until every process is there.

    :raises ParallelError: from every method, when another process is gone.
    """

    def __init__(self, rank: int = 0, world: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank = rank
        self.world = world
        self.device = torch.device(device)

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world == 1:
            return
        if error is None:  # after a failure the others can no longer be waited for
            self.share(0)
        if error is None or self.device.type == "cpu":  # NCCL would wait for what the others never answer
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the process that tests, logs and snapshots."""
        return self.rank == 0

    def share(self, value: int) -> int:
        """The ``value`` of rank 0."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        self.broadcast([shared])
        return int(shared)

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give ``tensors`` the values of rank 0."""
        if self.world == 1:
            return
        with self._together():
            for tensor in tensors:
                whole = tensor.detach().contiguous()  # channels-last weights travel as a copy
                dist.broadcast(whole, 0)
                tensor.copy_(whole)

    @torch.no_grad()
    def average(self, weights: Sequence[Tensor], code: int = 0) -> int:
        """Replace the gradient of each of ``weights`` by the mean over all processes; a missing one counts as 0.

        :param weights: those that learn: the same ones in every process.
        :param code: a small number that travels along.
        :return: the ``code`` of rank 0.
        """
        if self.world == 1:
            return code
        tail = torch.tensor([float(code if self.first else 0)], device=self.device)
        under_way = []
        for bucket in _buckets(weights):
            parts = [torch.zeros_like(w).view(-1) if w.grad is None else w.grad.reshape(-1) for w in bucket]
            flat = torch.cat([*parts, tail])
            with self._together():
                under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in under_way:
            with self._together():
                work.wait()
            code = int(flat[-1])
            values = flat.mul_(1 / self.world)[:-1].split([w.numel() for w in bucket])
            for weight, value in zip(bucket, values):
                if weight.grad is None:
                    weight.grad = torch.empty_like(weight)
                weight.grad.copy_(value.view(weight.shape))
        return code

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise _lost(self.rank, self.world, error) from None


def join(place: Place, device: torch.device | str = "cpu") -> Ranks:
    """Meet the other processes: through NCCL when ``device`` is a GPU, through gloo on the CPU.

    Unless OMP_NUM_THREADS is set, the processes of one machine share its cores.

    :raises ParallelError: not all of them come within five minutes.
    """
    device = torch.device(device)
    if place.world == 1:
        return Ranks(device=device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // place.local_world))
    if place.rendezvous.startswith("file:"):
        _stay_inside()
    try:
        store, _, _ = next(dist.rendezvous(place.rendezvous, place.rank, place.world, timeout=JOIN_TIME))
        store.set(f"here/{place.rank}", "")
        store.wait([f"here/{rank}" for rank in range(place.world)], JOIN_TIME)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=RUN_TIME)
    except (RuntimeError, ValueError) as error:  # ValueError: torchrun's variables are incomplete
        raise _lost(place.rank, place.world, error) from None
    return Ranks(place.rank, place.world, device)


def _lost(rank: int, world: int, error: Exception) -> ParallelError:
    reason = re.sub(r"^\[.*?\] ", "", str(error).strip().split("\n")[0])  # gloo begins with a line of its source
    return ParallelError(
        f"Process {rank} of {world} cannot reach the others: {reason.partition('. ')[0].rstrip('.')}.",
        remedy="If one of them failed, its own message tells why.",
    )


def _stay_inside() -> None:
    """Let gloo open its sockets for this machine alone, where the name of that interface is known."""
    names = {name for _, name in socket.if_nameindex()}
    for loopback in ("lo", "lo0"):
        if loopback in names:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)


def _buckets(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """``weights`` in runs of at most BUCKET_ELEMENTS values or one weight; at least one run, which may be empty."""
    bucket: list[Tensor] = []
    size = 0
    for weight in weights:
        if bucket and size + weight.numel() > BUCKET_ELEMENTS:
            yield bucket
            bucket, size = [], 0
        bucket.append(weight)
        size += weight.numel()
    yield bucket
