"""Starting the processes of one training on this machine, and ending them together."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

import click

from caffe_port.cli.main import show_error
from caffe_port.errors import CaffeError, ParallelError
from caffe_port.solver.parallel import Place

#: Exit status of a process that has nothing to tell but that another one is gone.
LOST = 3
#: Seconds that this process gets to notice by itself that another one failed.
GRACE = 3.0
#: Seconds that the others get to end: after a success; after one of them was lost, so that its reason can be told.
PATIENCE, LOST_PATIENCE = 60.0, 10.0


def same_command(context: click.Context) -> list[str]:
    """The command line that runs the command of ``context`` again."""
    line = [sys.executable, "-m", "caffe_port", str(context.info_name)]
    for option in context.command.params:
        value = context.params.get(str(option.name))
        if getattr(option, "is_flag", False):
            line += [option.opts[0]] if value else []
        elif value is not None:
            line.append(f"{option.opts[0]}={value}")
    return line


class Workers:
    """Processes 1 to ``count`` - 1 of a training, of which this process is number 0.

    As a context manager it gives the :class:`Place` of this process. However the block ends, no process outlives it:
    after an exception the others are ended; when one of them fails, so does the block, with that one's error, or, where
    it waits for a device and cannot notice, this process ends with it. Should this process be killed, they end too.

    :param line: the command of the others.
    :raises CaffeError: another process failed.
    """

    def __init__(self, line: Sequence[str], count: int) -> None:
        self.line = list(line)
        self.count = count
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()

    def __enter__(self) -> Place:
        self._folder = Path(tempfile.mkdtemp(prefix="caffe-port-"))
        store = unquote((self._folder / "store").as_uri())  # torch takes the path as it stands in the URL
        own = Place(0, self.count, 0, self.count, store)
        for rank in range(1, self.count):
            place = replace(own, rank=rank, local_rank=rank)
            with open(self._words(rank), "wb") as words:
                self._processes[rank] = subprocess.Popen(
                    self.line,
                    env={**os.environ, **place.environment()},
                    stdin=subprocess.PIPE,  # its end tells them that this process is gone
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                )
        threading.Thread(target=self._watch, daemon=True, name="watch-workers").start()
        return own

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            if error is None:
                self._wait(PATIENCE)
            elif isinstance(error, ParallelError):  # what another process has to say is the cause
                self._wait(LOST_PATIENCE)
            failed = self._failed() if error is None or isinstance(error, ParallelError) else None
            if failed is not None:
                raise self._story(failed) from None
        finally:
            self._end()

    def _words(self, rank: int) -> Path:
        return self._folder / f"rank{rank}"

    def _wait(self, seconds: float) -> None:
        """Until all have ended, or one has failed, or the time is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._failed() is None:
            if all(process.poll() is not None for process in self._processes.values()):
                return
            time.sleep(0.05)

    def _failed(self) -> int | None:
        """The first process that failed of its own."""
        return next((rank for rank, p in self._processes.items() if p.poll() not in (None, 0, LOST)), None)

    def _story(self, rank: int) -> CaffeError:
        """Why process ``rank`` failed."""
        words = self._words(rank).read_text("utf-8", "replace")
        told = re.findall(r"^caffe-port: error: (.*)$", words, re.MULTILINE)
        status = self._processes[rank].returncode
        if told:
            return CaffeError(f"process {rank} of {self.count}: {told[-1]}")
        click.echo(words, nl=False, err=True)
        end = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return CaffeError(f"process {rank} of {self.count} {end}.")

    def _watch(self) -> None:
        """End this process when another one fails and it does not notice, as it waits where no exception can reach."""
        while not self._over.wait(0.2):
            failed = self._failed()
            if failed is not None and not self._over.wait(GRACE):
                show_error(str(self._story(failed)))
                self._end()
                os._exit(1)

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()  # they write nothing that could be left half done
        for process in self._processes.values():
            process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def silent_worker(place: Place) -> Iterator[None]:
    """What is different in a process that is not the first: it shows errors only, and leaves signals to the first."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):  # SIGHUP: not on Windows
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    warnings.simplefilter("ignore")
    started_here = place.rendezvous.startswith("file:")
    if started_here:
        threading.Thread(target=_end_with_parent, daemon=True, name="watch-parent").start()
    try:
        yield
    except ParallelError:
        if not started_here:
            raise
        sys.exit(LOST)


def _end_with_parent() -> None:
    os.read(0, 1)  # returns at the end of the pipe, when the parent is gone
    os._exit(LOST)
