from __future__ import annotations

import itertools
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from caffe_port.data import leveldb, records
from caffe_port.data.database import DatabaseWriter, database_kind, new_database, open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from caffe_port.data.lmdb import LmdbDatabase, LmdbSink
from caffe_port.errors import DataError
from tests.data.make import write_database
from tests.shared import IMAGES, ROOT, needs

BACKENDS = ["LMDB", "LEVELDB"]
MNIST = IMAGES / "mnist" / "mnist-test-leveldb"


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def make(path: Path, backend: str, count: int = 10) -> Path:
    return write_database(path, [b"value %d" % i for i in range(count)], backend)


def numbers(iterator, count):
    return [int(value.split()[1]) for _, value in itertools.islice(iterator, count)]


def test_records_come_in_key_order_whatever_the_order_of_writing(tmp_path, backend):
    with DatabaseWriter(tmp_path / "db", backend) as writer:
        for key in (b"b", b"c", b"a"):
            writer.put(key, key * 3)
    database = open_database(tmp_path / "db", backend)
    assert len(database) == 3
    assert list(itertools.islice(database.records(), 4)) == [(k, k * 3) for k in (b"a", b"b", b"c", b"a")]
    assert database.get(2) == (b"c", b"ccc")
    with pytest.raises(IndexError):
        database.get(3)


@pytest.mark.parametrize("start", [0, 3, 9, 10, 47])
@pytest.mark.parametrize("step", [1, 3, 10, 11])
def test_records_run_on_over_epochs(tmp_path, backend, start, step, monkeypatch):
    monkeypatch.setattr(records, "ANCHOR_STEP", 4)
    database = open_database(make(tmp_path / "db", backend), backend)
    expected = [(start + i * step) % 10 for i in range(25)]
    assert numbers(database.records(start, step), 25) == expected
    assert numbers(database.records(start, step), 25) == expected  # the anchors and the length are known now


def test_a_jump_uses_the_anchors(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(records, "ANCHOR_STEP", 4)
    database = open_database(make(tmp_path / "db", backend, 100), backend)
    assert len(database) == 100
    numbers(database.records(), 100)
    steps = []
    advance = records.Database._advance
    monkeypatch.setattr(records.Database, "_advance", lambda *a: steps.append(1) or advance(*a))
    assert numbers(database.records(1, 1), 1) == [1]
    assert numbers(database.records(99), 1) == [99]
    assert len(steps) <= 1 + 3


def test_two_readers_of_one_path(tmp_path, backend):
    path = make(tmp_path / "db", backend)
    first, second = open_database(path, backend), open_database(os.path.relpath(path), backend)
    a, b = first.records(), second.records(5)
    assert numbers(a, 3) == [0, 1, 2]
    assert numbers(b, 3) == [5, 6, 7]
    del first, a
    assert numbers(b, 1) == [8]


def test_readers_in_many_threads(tmp_path, backend):
    path = make(tmp_path / "db", backend, 300)
    wrong = []

    def read(start):
        for _ in range(5):
            database = open_database(path, backend)
            if numbers(database.records(start), 600) != [(start + i) % 300 for i in range(600)]:
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(i * 70,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_folder_made_anew_is_read_anew(tmp_path, backend):
    path = make(tmp_path / "db", backend, 3)
    assert len(open_database(path, backend)) == 3
    shutil.rmtree(path)
    make(path, backend, 5)
    assert len(open_database(path, backend)) == 5


def test_missing(tmp_path, backend):
    with pytest.raises(DataError, match=r"nowhere: The database does not exist"):
        open_database(tmp_path / "nowhere", backend)


def test_no_database(tmp_path, backend):
    with pytest.raises(DataError, match=f"is no {backend} database"):
        open_database(tmp_path, backend)


def test_the_other_backend(tmp_path, backend):
    other = BACKENDS[1 - BACKENDS.index(backend)]
    path = make(tmp_path / "db", other)
    assert database_kind(path) == other
    with pytest.raises(
        DataError, match=rf"holds {other} data, but the backend is {backend}. Set data_param {{ backend: {other} }}"
    ):
        open_database(path, backend)


def test_empty(tmp_path, backend):
    with DatabaseWriter(tmp_path / "db", backend):
        pass
    database = open_database(tmp_path / "db", backend)
    with pytest.raises(DataError, match="holds no records"):
        next(database.records())
    with pytest.raises(DataError, match="holds no records"):
        len(database)


def test_a_truncated_lmdb_is_refused_not_fatal(tmp_path):
    path = make(tmp_path / "db", "LMDB", 2000)
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="truncated"):
        open_database(path, "LMDB")


def test_a_foreign_lmdb_file(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"x" * 10000)
    with pytest.raises(DataError, match="cannot be opened as an LMDB"):
        open_database(tmp_path, "LMDB")


def test_a_damaged_leveldb_table(tmp_path):
    path = write_database(tmp_path / "db", [os.urandom(500) for _ in range(2000)], "LEVELDB")
    open_database(path, "LEVELDB")  # the writer leaves a log; make a table of it
    import plyvel

    db = plyvel.DB(str(path))
    db.compact_range()
    db.close()
    table = max(path.glob("*.ldb"), key=lambda p: p.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    table.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read on"):
        len(open_database(path, "LEVELDB"))


def test_a_leveldb_without_its_manifest(tmp_path):
    path = make(tmp_path / "db", "LEVELDB")
    for manifest in path.glob("MANIFEST*"):
        manifest.unlink()
    with pytest.raises(DataError, match="cannot be opened as a LevelDB"):
        open_database(path, "LEVELDB")


def test_plyvel_missing(tmp_path, monkeypatch):
    path = make(tmp_path / "db", "LEVELDB")
    monkeypatch.setattr(leveldb, "plyvel", None)
    with pytest.raises(DataError, match="Install the extra 'leveldb'"):
        open_database(path, "LEVELDB")
    with pytest.raises(DataError, match="Install the extra 'leveldb'"):
        DatabaseWriter(tmp_path / "new", "LEVELDB")


def state(folder: Path):
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.iterdir()}


def test_reading_changes_nothing_in_a_leveldb(tmp_path, monkeypatch):
    path = make(tmp_path / "db", "LEVELDB")
    shadows = tmp_path / "tmp"
    shadows.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(shadows))
    before = state(path)
    database = open_database(path, "LEVELDB")
    assert len(list(shadows.iterdir())) == 1
    assert len(database) == 10
    del database
    assert state(path) == before
    assert list(shadows.iterdir()) == []


@needs(MNIST)
def test_mnist():
    before = {p.name: p.stat().st_mtime_ns for p in MNIST.iterdir()}
    database = open_database(MNIST, "LEVELDB")
    assert len(database) == 10000
    datums = [parse_datum(value, name="") for _, value in itertools.islice(database.records(), 10)]
    # the first labels of t10k-labels-idx1-ubyte
    assert [d.label for d in datums] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert datum_to_array(datums[0]).shape == (1, 28, 28)
    assert {p.name: p.stat().st_mtime_ns for p in MNIST.iterdir()} == before


def test_writer_refuses(tmp_path, backend):
    path = make(tmp_path / "db", backend)
    with pytest.raises(DataError, match="exists already"):
        DatabaseWriter(path, backend)
    with pytest.raises(DataError, match="parent folder does not exist"):
        DatabaseWriter(tmp_path / "a" / "b", backend)
    with pytest.raises(DataError, match="Unknown database backend 'SQLITE'"):
        DatabaseWriter(tmp_path / "c", "SQLITE")


def test_writer_commits_by_itself_and_drops_what_an_exception_left(tmp_path, backend):
    def fail():
        with DatabaseWriter(tmp_path / "db", backend) as writer:
            for number in range(DatabaseWriter.PENDING + 7):
                writer.put(b"%05d" % number, b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(open_database(tmp_path / "db", backend)) == DatabaseWriter.PENDING


def test_an_lmdb_grows_beyond_its_first_map(tmp_path, monkeypatch):
    monkeypatch.setattr(LmdbSink, "FIRST_MAP_SIZE", 1 << 16)
    write_database(tmp_path / "db", [bytes(5000)] * 100)
    with lmdb.open(str(tmp_path / "db"), readonly=True) as environment:
        assert environment.stat()["entries"] == 100


@pytest.mark.parametrize("when", ["forward", "reshape"])
def test_the_interpreter_ends_with_threads_at_work(tmp_path, backend, when):
    path = make(tmp_path / "db", backend, 50)
    shutil.rmtree(path)
    (tmp_path / "shadows").mkdir()
    code = f"""
import numpy as np
from tests.data.make import image_database, images
from tests.layers.harness import make_layer
from pathlib import Path
image_database(Path({str(path)!r}), images(50, (3, 64, 64)), {backend!r})
text = 'type: "Data" top: "d" data_param {{ source: "{path}" batch_size: 64 backend: {backend} }}'
layer = make_layer(text)
if {when!r} == "forward":
    layer()
print("end")
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "shadows"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    assert list((tmp_path / "shadows").glob("caffe-port-*")) == []


def test_a_database_that_the_program_has_open_itself(tmp_path):
    path = tmp_path / "db"
    lmdb.open(str(path)).close()
    with lmdb.open(str(path), readonly=True, lock=False), pytest.raises(DataError, match="Close the environment"):
        LmdbDatabase(path)


def test_a_full_disk(tmp_path):
    """A limit on the size of files fails as a full disk does; LMDB calls either an I/O error."""

    def write():
        with new_database(tmp_path / "db", "LMDB") as database:
            for i in range(3000):
                database.put(b"%08d" % i, bytes(1000))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(DataError, match=r"db: cannot be written: .*MB free"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
