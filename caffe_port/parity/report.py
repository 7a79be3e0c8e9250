"""The outcome of a comparison, blob by blob, and its JSON form."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from caffe_port.parity.difference import Difference

#: ``agrees``; ``diverges``: already when the layer works on the reference's own bottoms; ``inherits``: only because its
#: bottoms differ; ``random``: drawn anew, the reference's value was used; ``not recorded``; ``not in the net``.
Status = Literal["agrees", "diverges", "inherits", "random", "not recorded", "not in the net"]


@dataclass(frozen=True)
class Row:
    """One array: ``kind`` and ``name`` as in the record (``blob`` and ``conv1``, ``param_diff`` and ``conv1/0``).

    ``layers`` made it. ``total`` is its difference when errors propagate, ``own`` when every layer works on the
    reference's own bottoms.
    """

    kind: str
    name: str
    layers: tuple[str, ...]
    status: Status
    total: Difference | None = None
    own: Difference | None = None


@dataclass(frozen=True)
class Explanation:
    """``what``, done to ``layer``, gives the reference's numbers but for ``relative`` of the largest one."""

    layer: str
    layer_type: str
    what: str
    relative: float


@dataclass(frozen=True)
class SuspectLayer:
    """A layer that may be at fault: its parameters as prototxt, and what goes wrong most often with its type."""

    name: str
    layer_type: str
    parameters: str
    suspects: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """The first divergence: the array, the layers that may have made it, and which changes explain the numbers.

    ``explanations`` were tried and reproduce the reference; the likeliest comes first.
    """

    row: Row
    layers: tuple[SuspectLayer, ...]
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True)
class Report:
    """The comparison of a net with a record.

    ``rows`` are in net order: of each layer the learnable blobs, then what it computes; after them the diffs, in the
    order of backward.
    """

    tolerance: float
    rows: tuple[Row, ...]
    finding: Finding | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def agrees(self) -> bool:
        """Whether everything that both have is the same, and the record has nothing that the net lacks."""
        return all(row.status in ("agrees", "random", "not recorded") for row in self.rows)

    def count(self, status: Status) -> int:
        """Number of rows of that status."""
        return sum(row.status == status for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """For ``json.dumps``; NaN and infinity, which JSON lacks, become strings."""
        return {"agrees": self.agrees, **jsonable(asdict(self))}


def jsonable(value: Any) -> Any:
    """``value`` with NaN and infinities as strings."""
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
