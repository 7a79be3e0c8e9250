"""What LMDB and LevelDB have in common: records in the order of their keys, reached by number.

Neither database can jump to its n-th record. A reader therefore remembers the key of every 1024th record it has passed
(an anchor), so that a resume costs one seek and at most 1023 steps once that part has been seen, and reading from the
start costs nothing extra.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from caffe_port.errors import DataError

#: Records between two anchors.
ANCHOR_STEP = 1024


class RecordCursor(Protocol):
    """A position in a database, moved by one thread at a time."""

    def seek(self, key: bytes | None) -> bool:
        """Go to ``key``, which exists, or with None to the first record; False when there is none."""

    def next(self) -> bool:
        """Go to the next record; False at the end."""

    def key(self) -> bytes:
        """The key here."""

    def value(self) -> bytes:
        """The value here."""

    def close(self) -> None:
        """Free what the cursor holds."""


class Database(ABC):
    """An open database, read only. Any number of threads may read it, each through its own :meth:`records`.

    :raises DataError: from every reading method, when the database is corrupt or empty.
    """

    #: What the database's package raises.
    FAILURES: tuple[type[Exception], ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._length: int | None = None
        self._anchors: list[bytes] = []
        self._lock = threading.Lock()

    @abstractmethod
    def cursor(self) -> RecordCursor:
        """A new cursor, at no record yet."""

    def __len__(self) -> int:
        """The number of records (LevelDB does not know it: the first call walks over all keys)."""
        if self._length is None:
            cursor = self.cursor()
            try:
                position = self._seek(cursor, max(len(self._anchors) - 1, 0) * ANCHOR_STEP)
                while self._length is None:
                    position = self._advance(cursor, position)
            except self.FAILURES as error:
                raise self._corrupt(error) from None
            finally:
                cursor.close()
        return self._length

    def get(self, index: int) -> tuple[bytes, bytes]:
        """Key and value of record ``index`` in key order.

        :raises IndexError: there is no such record.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} records, no record {index}")
        return next(self.records(index))

    def records(self, start: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of every ``step``-th record from record ``start`` on, beginning anew after the last, endlessly.

        ``start`` may exceed the number of records: the count runs on over epochs, as Caffe's does.
        """
        cursor = self.cursor()
        try:
            position = self._seek(cursor, start)
            while True:
                yield cursor.key(), cursor.value()
                for _ in range(step):
                    position = self._advance(cursor, position)
        except self.FAILURES as error:
            raise self._corrupt(error) from None
        finally:
            cursor.close()

    def _seek(self, cursor: RecordCursor, record: int) -> int:
        """Put ``cursor`` at ``record`` modulo the number of records, and return that position."""
        while True:
            if self._length is not None:
                record %= self._length
            anchor = min(record // ANCHOR_STEP, len(self._anchors) - 1)
            if anchor < 0:
                self._rewind(cursor)
                anchor = 0
            else:
                cursor.seek(self._anchors[anchor])
            position = anchor * ANCHOR_STEP
            while position < record:
                moved = self._advance(cursor, position)
                if moved == 0:  # the end came first, so the length is known now
                    break
                position = moved
            else:
                return position

    def _advance(self, cursor: RecordCursor, position: int) -> int:
        """Move on by one record, from the last to the first, and return the new position."""
        if not cursor.next():
            self._length = position + 1
            self._rewind(cursor)
            return 0
        position += 1
        if position % ANCHOR_STEP == 0:
            with self._lock:
                if position == len(self._anchors) * ANCHOR_STEP:
                    self._anchors.append(cursor.key())
        return position

    def _rewind(self, cursor: RecordCursor) -> None:
        if not cursor.seek(None):
            raise DataError("holds no records.", file=self.path)
        with self._lock:
            if not self._anchors:
                self._anchors.append(cursor.key())

    def _corrupt(self, error: Exception) -> DataError:
        return DataError(
            f"cannot be read on: {error}.", remedy="The database is damaged: make it anew.", file=self.path
        )
