"""Signals that stop a training or take a snapshot (Caffe: signal_handler.cpp)."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from caffe_port.solver.solver import CONTINUE, SNAPSHOT, STOP

_EFFECTS = {"stop": STOP, "snapshot": SNAPSHOT, "none": CONTINUE}


class SignalActions:
    """A :attr:`Solver.action` that turns SIGINT and SIGHUP into what they are to effect.

    Within the ``with`` block the signals are caught; the solver asks at the end of every iteration and test batch. A
    second SIGINT before the first was heeded ends the process as usual.

    :param sigint: ``"stop"``, ``"snapshot"`` or ``"none"``; ``sighup`` likewise.
    """

    def __init__(self, sigint: str = "stop", sighup: str = "snapshot") -> None:
        self._actions = {signal.SIGINT: _EFFECTS[sigint]}
        if hasattr(signal, "SIGHUP"):  # not on Windows
            self._actions[signal.SIGHUP] = _EFFECTS[sighup]
        self._caught: set[int] = set()
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> SignalActions:
        for number in self._actions:
            self._former[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def __call__(self) -> str:
        """The action that is due; asking takes it."""
        for number, action in reversed(self._actions.items()):  # SIGHUP first, as in Caffe
            if number in self._caught:
                self._caught.discard(number)
                return action
        return CONTINUE

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in self._caught:
            raise KeyboardInterrupt
        self._caught.add(number)
