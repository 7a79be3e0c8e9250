"""Bars on standard error for the stages of a study."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from caffe_port.cli.progress import Progress


class Display:
    """Bars on standard error: one for whatever is counted, one for the arm that trains."""

    def __init__(self) -> None:
        self._arm = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__()
        self._arm, self._bar = "", None

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar under the sentence ``what``."""
        self._close()
        click.echo(what, err=True)
        with Progress(stream=sys.stderr) as progress:
            yield progress.count

    def watch(self, arm: str, done: int, total: int, loss: float) -> None:
        """Show how far the training of ``arm`` is."""
        if arm != self._arm or self._bar is None:
            self._close()
            click.echo(f"Training {arm}", err=True)
            self._arm, self._bar = arm, Progress(total, sys.stderr).__enter__()
        self._bar(done, loss)
