"""Opening and making databases of either backend. Caffe: util/db.cpp."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from caffe_port.data.leveldb import LevelDbDatabase, LevelDbSink
from caffe_port.data.lmdb import LmdbDatabase, LmdbSink
from caffe_port.data.records import Database
from caffe_port.errors import DataError

#: Reader and writer of each backend, by Caffe's enum name.
BACKENDS: dict[str, tuple[type[Database], type[LmdbSink] | type[LevelDbSink]]] = {
    "LMDB": (LmdbDatabase, LmdbSink),
    "LEVELDB": (LevelDbDatabase, LevelDbSink),
}


def database_kind(path: str | Path) -> str | None:
    """``LMDB`` or ``LEVELDB`` by the files in the folder ``path``; None for neither."""
    if (Path(path) / "data.mdb").is_file():
        return "LMDB"
    return "LEVELDB" if (Path(path) / "CURRENT").is_file() else None


def open_database(path: str | Path, backend: str | None = None) -> Database:
    """A reader of the database at ``path``; it closes when nothing refers to it any more.

    :param backend: ``LMDB`` or ``LEVELDB``, as in data_param; None: what the folder holds.
    :raises DataError: there is no such folder, it holds another kind of database, or it cannot be opened.
    """
    if not Path(path).exists():
        raise DataError("The database does not exist.", remedy="Check 'source'; it is a folder.", file=path)
    kind = database_kind(path)
    if kind is None:
        text = f"is no {backend or 'LMDB or LEVELDB'} database."
        raise DataError(text, remedy="'source' must name the database's folder.", file=path)
    if backend not in (kind, None):
        raise DataError(
            f"holds {kind} data, but the backend is {backend}.",
            remedy=f"Set data_param {{ backend: {kind} }}, of a tool --backend={kind.lower()}.",
            file=path,
        )
    return BACKENDS[kind][0](path)


class DatabaseWriter:
    """Makes a new database: ``with DatabaseWriter(path, "LMDB") as db: db.put(key, value)``.

    Leaving the block without an exception commits what is pending.

    :raises DataError: the path exists already, its parent does not, or the backend is unknown or not installed.
    """

    #: Pending records that :meth:`put` commits by itself (Caffe's tools use the same number).
    PENDING = 1000

    def __init__(self, path: str | Path, backend: str) -> None:
        self.path = Path(path)
        if backend not in BACKENDS:
            raise DataError(f"Unknown database backend '{backend}'.", remedy=f"Choose from {', '.join(BACKENDS)}.")
        if self.path.exists():
            raise DataError("The database exists already.", remedy="Remove it, or choose another name.", file=path)
        if not self.path.parent.is_dir():
            raise DataError("cannot be made: its parent folder does not exist.", file=path)
        self._sink = BACKENDS[backend][1](self.path)
        self._pending: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Add one record; a key that exists is overwritten."""
        self._pending.append((key, value))
        if len(self._pending) >= self.PENDING:
            self.commit()

    def commit(self) -> None:
        """Write the pending records in one transaction."""
        self._sink.write(self._pending)
        self._pending = []

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._sink.close()

    def __enter__(self) -> DatabaseWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._sink.close()


@contextmanager
def new_database(path: str | Path, backend: str) -> Iterator[DatabaseWriter]:
    """A :class:`DatabaseWriter` whose folder disappears again if the block ends with an exception.

    For what makes sense as a whole only. What the backend itself refuses (a full disk, too long a key) is a DataError.

    :raises DataError: as :class:`DatabaseWriter`, or the database cannot be written.
    """
    failures = BACKENDS[backend][0].FAILURES if backend in BACKENDS else ()
    existed = Path(path).exists()
    try:
        with DatabaseWriter(path, backend) as writer:
            yield writer
    except BaseException as error:
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, failures):
            free = shutil.disk_usage(Path(path).parent).free >> 20  # LMDB calls a full disk "Input/output error"
            remedy = f"Its disk has {free:,} MB free, with what was written removed."
            raise DataError(f"cannot be written: {error}.", file=path, remedy=remedy) from error
        raise
