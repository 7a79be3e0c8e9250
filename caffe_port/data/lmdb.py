"""LMDB: Caffe's own choice of database since 2014. Caffe: util/db_lmdb.cpp."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import lmdb

from caffe_port.data.records import Database
from caffe_port.errors import DataError


class LmdbDatabase(Database):
    """An LMDB folder, opened read only and without its lock file, so that a read-only folder will do."""

    FAILURES = (lmdb.Error,)

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        try:
            self._environment = _acquire(path)
            # not at exit: a thread that still reads must not lose its map
            weakref.finalize(self, _release, os.path.realpath(path)).atexit = False
            info, stat = self._environment.info(), self._environment.stat()
        except lmdb.Error as error:
            remedy = None
            if "already open" in str(error):
                remedy = "Close the environment that this program opened itself: LMDB allows one of a path."
            raise DataError(
                f"cannot be opened as an LMDB: {str(error).rstrip('.')}.", remedy=remedy, file=path
            ) from None
        # The file is mapped into memory: a read behind its end would kill the process, so look beforehand.
        wanted = (info["last_pgno"] + 1) * stat["psize"]
        size = (self.path / "data.mdb").stat().st_size
        if size < wanted:
            text = f"data.mdb has {size} of its {wanted} bytes."
            raise DataError(text, remedy="The file was truncated: copy it again.", file=path)
        self._length = stat["entries"] or None

    def cursor(self) -> LmdbCursor:
        """A new cursor, at no record yet."""
        return LmdbCursor(self._environment)


class _Shared:
    """An open environment and the number of its users."""

    def __init__(self, path: str | Path) -> None:
        self.environment = lmdb.open(str(path), readonly=True, lock=False)
        self.users = 0


# lmdb refuses to open one path twice in a process, and train and test nets often share one. So every path is open at
# most once. The lock is held while closing too, or a thread could find it closed here and still open there; it is
# re-entrant, because the garbage collector may call _release at any time.
_shared: dict[str, _Shared] = {}
_lock = threading.RLock()


def _acquire(path: str | Path) -> lmdb.Environment:
    real = os.path.realpath(path)
    with _lock:
        if real not in _shared:
            _shared[real] = _Shared(path)
        _shared[real].users += 1
        return _shared[real].environment


def _release(real: str) -> None:
    with _lock:
        _shared[real].users -= 1
        if not _shared[real].users:
            _shared.pop(real).environment.close()


class LmdbCursor:
    """A cursor in a read transaction of its own (see RecordCursor)."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._transaction = environment.begin()
        cursor = self._transaction.cursor()
        self._cursor = cursor
        self.next, self.key, self.value = cursor.next, cursor.key, cursor.value

    def seek(self, key: bytes | None) -> bool:
        """Go to ``key``, or with None to the first record."""
        return self._cursor.first() if key is None else self._cursor.set_key(key)

    def close(self) -> None:
        """End the transaction."""
        self._transaction.abort()


class LmdbSink:
    """The writing end of a new LMDB; its map doubles whenever it is full."""

    FIRST_MAP_SIZE = 1 << 24

    def __init__(self, path: Path) -> None:
        self._map_size = self.FIRST_MAP_SIZE
        self._environment = lmdb.open(str(path), map_size=self._map_size)

    def write(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Put ``items`` in one transaction."""
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in items:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._map_size *= 2
                self._environment.set_mapsize(self._map_size)

    def close(self) -> None:
        """Flush and close."""
        self._environment.sync(True)
        self._environment.close()
