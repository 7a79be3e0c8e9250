"""``caffe-port convert-imageset`` as old shell scripts call it, in a process of its own."""

from __future__ import annotations

import itertools
import re

import pytest

from caffe_port.data.database import open_database
from tests.cli.process import Here, caffe_port, error_line, messages
from tests.shared import ORACLE

DATA = ORACLE / "data"


@pytest.fixture
def here(monkeypatch, capsys):
    return Here(monkeypatch, capsys)


def convert(run, folder, *flags, images=f"{DATA}/images/", listed=DATA / "list.txt"):
    return run("convert-imageset", *flags, images, listed, folder / "db", cwd=folder)


def records(path, backend="LMDB"):
    database = open_database(path, backend)
    return list(itertools.islice(database.records(), len(database)))


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("lmdb", "--resize_height=40 --resize_width=36"),
        ("lmdb", "-resize_height 40 -resize_width 36 -nogray --shuffle=false -backend lmdb"),
        ("leveldb", "--resize-height 40 --resize-width=36 -backend=leveldb --check_size"),
        ("lmdb_gray", "-gray --resize_height=40 --resize_width=36"),
        ("lmdb_encoded", "--encoded=true -encode_type=png --resize_height=40 --resize_width=36"),
    ],
)
def test_flags_and_records_are_caffes(name, flags, here, tmp_path):
    result = convert(here, tmp_path, *flags.split())
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert messages(result.stderr) == ["A total of 10 images.", "Processed 10 files."]
    backend = "LEVELDB" if name == "leveldb" else "LMDB"
    assert records(tmp_path / "db", backend) == records(DATA / name, backend)


def test_in_a_process_of_its_own(tmp_path):
    result = convert(caffe_port, tmp_path, "-resize_height", 40, "-resize_width", 36)
    assert result.returncode == 0, result.stderr
    assert messages(result.stderr) == ["A total of 10 images.", "Processed 10 files."]
    assert records(tmp_path / "db") == records(DATA / "lmdb")


def test_shuffle_logs_its_seed_and_can_be_repeated(here, tmp_path):
    result = convert(here, tmp_path, "--shuffle")
    (seed,) = re.findall(r"Shuffling data \(seed (\d+)\)", result.stderr)
    (tmp_path / "again").mkdir()
    assert convert(here, tmp_path / "again", "--shuffle", "--seed", seed).returncode == 0
    found = records(tmp_path / "db")
    assert found == records(tmp_path / "again" / "db")
    assert [key[9:] for key, _ in found] != [key[9:] for key, _ in records(DATA / "lmdb")]


def test_what_is_left_out_is_said(here, tmp_path):
    (tmp_path / "list.txt").write_text("img0.jpg 0\nabsent.jpg 1\n")
    result = convert(here, tmp_path, listed="list.txt")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^E\d{4} .*absent.jpg: Could not open or find file", result.stderr, re.MULTILINE)
    assert "caffe-port: warning: 1 of 2 images could not be read and are not in the database." in result.stderr
    assert [key for key, _ in records(tmp_path / "db")] == [b"00000000_img0.jpg"]


def test_errors(here, tmp_path):
    assert re.search(r"list\.txt: None of its 10 .*slash", error_line(convert(here, tmp_path, images=DATA / "images")))
    assert re.search(r"gone: The list cannot be read", error_line(convert(here, tmp_path, listed="gone")))
    assert re.search(r"Incorrect data field size", error_line(convert(here, tmp_path, "-check_size")))
    assert convert(here, tmp_path).returncode == 0
    assert re.search(r"db: The database exists already", error_line(convert(here, tmp_path)))


def test_usage(here, tmp_path):
    result = here("convert-imageset", "images/", cwd=tmp_path)
    assert result.returncode == 2
    assert "Missing argument 'LISTFILE'" in result.stderr
    assert "Example: caffe-port convert-imageset" in here("convert-imageset", "-help", cwd=tmp_path).stdout
