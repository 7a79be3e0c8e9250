"""The folder of a run: where its files lie, and tables and records that are written whole or not at all."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write

#: How the names of folders that are being made end.
_PART = ".part"


class RunFolder:
    """Paths below the folder of one run. Those in prototxt files are meant from here."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.settings = self.root / "study.toml"
        self.cases = self.root / "cases.csv"
        self.candidates = self.root / "candidates.csv"
        self.candidates_record = self.root / "candidates.json"
        self.scores = self.root / "scores.csv"
        self.metrics = self.root / "metrics.json"
        self.handcrafted = self.root / "handcrafted"
        self.report = self.root / "report"

    def arm(self, name: str) -> Path:
        """The folder of an arm."""
        return self.root / "arms" / name

    def patches(self, subset: str = "") -> Path:
        """The index of the training and validation patches of a ``subset`` (see ``Arm.subset``)."""
        return self.root / f"patches{subset}.csv"

    def databases(self, subset: str = "") -> tuple[str, str]:
        """The LMDBs of training and validation patches, from the folder of the run."""
        return f"lmdb/train{subset}", f"lmdb/val{subset}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder of a run that has begun while no other process does.

        The system lifts the lock of a process that ends, however it ends.

        :raises StudyError: another one works here, or ``study.toml`` may not be written.
        """
        with ExitStack() as stack:
            try:
                fcntl.flock(stack.enter_context(self.settings.open("r+b")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StudyError(
                    "is in use: another process works on this run.",
                    file=self.root,
                    remedy="Wait until it is done, or stop it and run the same command again.",
                ) from None
            except OSError as error:
                raise StudyError(f"cannot be locked: {error.strerror}.", file=self.settings) from None
            yield

    def clear_unfinished(self) -> None:
        """Remove what former processes left half made. Not while another one works here."""
        for path in [*self.root.glob(f"lmdb/*{_PART}"), *self.root.glob(f"features/*{_PART}")]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self.root.rglob(f".*{_PART}"):
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove a run of which no patches are made yet, so that it can be begun with other settings."""
        shutil.rmtree(self.root / "lmdb", ignore_errors=True)
        for path in [*self.root.glob("patches*.csv"), *self.root.glob("candidates.*"), self.cases, self.settings]:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # something of the user's is in it
            self.root.rmdir()


def make_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` fill a new folder, which then becomes ``target``: it is there whole or not at all.

    Of two processes that make the same, one wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}{_PART}")
    try:
        part.mkdir()
        fill(part)
        os.rename(part, target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file; numbers as Python shows them, so that they read back the same."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, StudyError) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def read_table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file.

    :raises StudyError: it is absent, damaged or empty, or lacks one of ``columns``.
    """
    remedy = "Remove it and run the stage that makes it again."
    try:
        reader = csv.DictReader(
            io.StringIO(path.read_bytes().decode("utf-8", "surrogateescape"), newline=""), strict=True
        )
        rows = list(reader)
    except FileNotFoundError:
        raise StudyError("is not there.", file=path, remedy="Run the stage that makes it again.") from None
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"cannot be read: {reason}.", file=path, remedy=remedy) from None
    if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
        raise StudyError(f"The column '{missing[0]}' is missing.", file=path, remedy=remedy)
    if any(None in row or None in row.values() for row in rows):
        raise StudyError("A row is longer or shorter than the header.", file=path, remedy=remedy)
    if not rows:
        raise StudyError("holds no row.", file=path, remedy=remedy)
    return rows


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, StudyError) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def read_record(path: Path, keys: Sequence[str] = ()) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none.

    :raises StudyError: it is damaged or lacks one of ``keys``.
    """
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"cannot be read: {error}.", file=path, remedy="Remove it and run the same command.") from None
    if not isinstance(record, dict) or any(key not in record for key in keys):
        raise StudyError(f"has not {', '.join(keys)}.", file=path, remedy="Remove it and run the same command.")
    return record


def read_made(path: Path, digest: str, keys: Sequence[str] = ()) -> dict[str, Any] | None:
    """As :func:`read_record`, of a record that says with which settings (``Settings.digest``) something was made.

    :raises StudyError: also, when they were others.
    """
    record = read_record(path, ("digest", *keys))
    if record is not None and record["digest"] != digest:
        raise StudyError(
            "was made with other settings: study.toml has been changed since.",
            file=path,
            remedy="Undo the change, or begin in a new folder.",
        )
    return record
