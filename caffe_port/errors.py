"""The exceptions of caffe_port: one small tree under :class:`CaffeError`.

Every message names the place (file, line and column or byte offset, layer and its type), the cause and, where there is
one, the remedy. The command line prints exactly ``str(error)``.
"""

from __future__ import annotations

from pathlib import Path


class CaffeError(Exception):
    """Something the user can mend: a wrong file, field, shape, flag or setting.

    :param cause: what is wrong, in one sentence without its place.
    :param remedy: what to do about it.
    :param file: the file at fault.
    :param line: 1-based line in a text file; ``column`` likewise.
    :param offset: 0-based byte offset in a binary file.
    :param layer: name of the layer at fault; ``layer_type`` its Caffe type.

    The place may be completed later by whoever knows it (see :meth:`at`), so that a layer need not know its file.
    """

    def __init__(
        self,
        cause: str,
        *,
        remedy: str | None = None,
        file: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
        offset: int | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.file = file
        self.line = line
        self.column = column
        self.offset = offset
        self.layer = layer
        self.layer_type = layer_type

    def at(self, **place: object) -> CaffeError:
        """Fill in the parts of the place that are still unknown, and return self."""
        for key, value in place.items():
            if getattr(self, key) is None:
                setattr(self, key, value)
        return self

    @property
    def place(self) -> str:
        """Where it is: file with line and column, byte, layer with its type; empty when nothing is known."""
        parts = []
        if self.file is not None:
            numbers = [str(n) for n in (self.line, self.column) if n is not None]
            parts.append(":".join([str(self.file), *numbers]))
        elif self.line is not None:
            parts.append(f"line {self.line}" + (f", column {self.column}" if self.column is not None else ""))
        if self.offset is not None:
            parts.append(f"byte {self.offset}")
        if self.layer is not None:
            parts.append(f"layer '{self.layer}'" + (f" ({self.layer_type})" if self.layer_type else ""))
        elif self.layer_type is not None:
            parts.append(f"a layer of type {self.layer_type}")
        return ", ".join(parts)

    def __str__(self) -> str:
        text = f"{self.place}: {self.cause}" if self.place else self.cause
        return f"{text} {self.remedy}" if self.remedy else text


class FormatError(CaffeError):
    """A file is not what it should be: prototxt syntax, unknown field, truncated or foreign binary."""


class UnknownFieldError(FormatError):
    """A file sets a field that its message does not have; ``unknown="warn"`` or ``--allow-unknown`` skips it."""


class WeightsError(CaffeError):
    """Weights do not fit the net: shapes, blob counts, missing layers."""


class NetError(CaffeError):
    """A net cannot be built or run: unknown blob, duplicate top, wrong input."""


class LayerError(NetError):
    """A layer refuses its parameters or its bottoms."""


class DataError(CaffeError):
    """A data source cannot be opened, read or transformed."""


class SolverError(CaffeError):
    """A solver file asks for what Caffe refuses."""


class SnapshotError(CaffeError):
    """A snapshot cannot be written or restored."""


class ParallelError(CaffeError):
    """The processes of one training cannot find or reach each other."""


class StatisticsError(CaffeError):
    """Numbers from which a statistic cannot be computed: one class only, not finite, unpaired, degenerate."""


class StudyError(CaffeError):
    """The settings of a study are wrong, or its folder does not fit them."""


class CaffeWarning(UserWarning):
    """Something accepted that has no effect, or an opt-out that was used."""
