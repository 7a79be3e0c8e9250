"""What every conversion tells about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Converted:
    """The extent of a conversion.

    :param layers: number of layers with weights that were written.
    :param parameters: number of values in their blobs.
    :param bytes: size of what was written, all files together.
    :param left_out: names of layers that the target has no place for (losses, accuracies), in net order.
    """

    layers: int
    parameters: int
    bytes: int
    left_out: tuple[str, ...] = ()
