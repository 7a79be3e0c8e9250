"""What an exact resume needs besides Caffe's own snapshot: the seed, and what of the data was consumed.

Caffe's solverstate has no room for it, so a small JSON file lies beside it: ``x.solverstate.json``. Caffe ignores it.
Random numbers are a function of the seed, the layer and the number of its pass, so that one number per layer is enough.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from caffe_port.errors import SnapshotError
from caffe_port.files import atomic_write
from caffe_port.net import Net


@dataclass
class Position:
    """Where a training stands at ``iteration``.

    ``passes`` has, for the training net and then for every test net, the number of passes of each layer by name. They
    are the same in each of the ``world`` processes that train together.
    """

    iteration: int
    seed: int
    passes: list[dict[str, int]]
    world: int = 1


def sidecar_path(state: str | Path) -> Path:
    """The sidecar of a solver state."""
    return Path(f"{state}.json")


def write_position(state: str | Path, position: Position) -> None:
    """Write the sidecar of the solver state ``state``, whole or not at all."""
    with atomic_write(sidecar_path(state), SnapshotError) as file:
        file.write(json.dumps(asdict(position), indent=1).encode())


def read_position(state: str | Path, iteration: int) -> Position | None:
    """The sidecar of ``state``; None without one, as beside a snapshot that real Caffe took.

    :raises SnapshotError: it is damaged, or of another iteration than the state.
    """
    path = sidecar_path(state)
    try:
        position = Position(**json.loads(path.read_bytes()))
        numbers = [position.iteration, position.seed, position.world]
        numbers += [n for net in position.passes for n in net.values()]
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError("a number is negative or none")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(
            f"The record of the data position cannot be read: {error}.",
            file=path,
            remedy="Remove it to resume without: data and random numbers then start anew.",
        ) from None
    if position.iteration != iteration:
        raise SnapshotError(
            f"The record of the data position is of iteration {position.iteration}, the state of {iteration}.",
            file=path,
            remedy="Remove it to resume without: data and random numbers then start anew.",
        )
    return position


def passes_of(net: Net) -> dict[str, int]:
    """The passes of every layer of ``net`` that draws random numbers or serves data."""
    return {node.name: node.layer.passes for node in net.nodes if node.layer.passes}


def set_passes(net: Net, seed: int, passes: dict[str, int]) -> None:
    """Continue the random numbers and data of ``net`` behind ``passes``."""
    net.context.seed = seed
    for node in net.nodes:
        node.layer.reseed()
        node.layer.passes = passes.get(node.name, 0)
