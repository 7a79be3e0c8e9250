"""LevelDB, through the package plyvel (the extra ``leveldb``). Caffe: util/db_leveldb.cpp."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from caffe_port.data.records import Database
from caffe_port.errors import DataError

try:
    import plyvel
except ImportError:  # an extra: most databases are LMDBs
    plyvel = None

BLOCK_SIZE = 65536
WRITE_BUFFER_SIZE = 268435456


def require_plyvel(path: str | Path) -> None:
    """Say what to install when plyvel is missing.

    :raises DataError: it is.
    """
    if plyvel is None:
        remedy = "Install the extra 'leveldb' (pip install 'caffe_port[leveldb]'), or convert the data to LMDB."
        raise DataError("LevelDB needs the package plyvel, which is not installed.", remedy=remedy, file=path)


class LevelDbDatabase(Database):
    """A LevelDB folder, read through a private shadow.

    LevelDB has no read-only mode: opening a folder locks it, replays its log and rewrites its manifest, which would
    alter the user's data, fail in a read-only folder and keep a second process out. Its tables however never change
    once written. So a temporary folder gets links to the tables and copies of the small files, and is opened instead;
    it disappears with this object, at the latest when the interpreter exits.

    Deviates from Caffe: which opens the folder itself.
    """

    FAILURES = (plyvel.Error,) if plyvel else ()

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        require_plyvel(path)
        shadow = tempfile.mkdtemp(prefix="caffe-port-leveldb-")
        try:
            make_shadow(self.path, Path(shadow))
            self._db = plyvel.DB(shadow, create_if_missing=False)
        except (OSError, plyvel.Error) as error:
            shutil.rmtree(shadow, ignore_errors=True)
            raise DataError(f"cannot be opened as a LevelDB: {error}.", file=path) from None
        weakref.finalize(self, shutil.rmtree, shadow, ignore_errors=True)
        # runs before the line above, but not at exit: a thread that still reads must not lose its database
        weakref.finalize(self, self._db.close).atexit = False

    def cursor(self) -> LevelDbCursor:
        """A new cursor, at no record yet."""
        return LevelDbCursor(self._db)


def make_shadow(source: Path, shadow: Path) -> None:
    """Fill ``shadow`` with links to the tables of ``source`` and copies of everything else."""
    for entry in sorted(source.iterdir()):
        if entry.name == "LOCK" or not entry.is_file():
            continue
        target = shadow / entry.name
        if entry.suffix in (".sst", ".ldb"):
            try:
                os.symlink(entry.resolve(), target)
                continue
            except OSError:  # a system without symbolic links
                pass
        shutil.copyfile(entry, target)


class LevelDbCursor:
    """A raw iterator that verifies checksums (see RecordCursor)."""

    def __init__(self, db: plyvel.DB) -> None:
        iterator = db.raw_iterator(verify_checksums=True)
        self._iterator = iterator
        self.key, self.value, self.close = iterator.key, iterator.value, iterator.close

    def seek(self, key: bytes | None) -> bool:
        """Go to ``key``, or with None to the first record."""
        if key is None:
            self._iterator.seek_to_first()
        else:
            self._iterator.seek(key)
        return self._iterator.valid()

    def next(self) -> bool:
        """Go to the next record; False at the end."""
        self._iterator.next()
        return self._iterator.valid()


class LevelDbSink:
    """The writing end of a new LevelDB, with Caffe's block and buffer sizes."""

    def __init__(self, path: Path) -> None:
        require_plyvel(path)
        sizes = {"block_size": BLOCK_SIZE, "write_buffer_size": WRITE_BUFFER_SIZE}
        self._db = plyvel.DB(str(path), create_if_missing=True, error_if_exists=True, **sizes)

    def write(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        """Put ``items`` in one batch."""
        with self._db.write_batch() as batch:
            for key, value in items:
                batch.put(key, value)

    def close(self) -> None:
        """Flush and close."""
        self._db.close()
