"""Files that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from caffe_port.errors import FormatError, SnapshotError
from caffe_port.files import atomic_write, working_directory


def test_writes_and_reads_back(tmp_path):
    path = tmp_path / "a"
    with atomic_write(path) as file:
        file.write(b"hello")
        file.seek(1)
        assert file.read(3) == b"ell"
        assert not path.exists()
    assert path.read_bytes() == b"hello"
    assert os.listdir(tmp_path) == ["a"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_bytes(b"old")

    def interrupted():
        with atomic_write(tmp_path / "a") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_permissions(tmp_path):
    """A new file gets what the umask leaves, an old one keeps its own."""
    mask = os.umask(0o027)
    try:
        for expected in (0o640, 0o604):
            with atomic_write(tmp_path / "a") as file:
                file.write(b"x")
            if expected == 0o640:
                assert (tmp_path / "a").stat().st_mode & 0o777 == expected
                (tmp_path / "a").chmod(0o604)
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(mask)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


def test_working_directory(tmp_path):
    before = os.getcwd()
    with working_directory(tmp_path):
        assert os.path.samefile(".", tmp_path)
    assert os.getcwd() == before
    with pytest.raises(ZeroDivisionError), working_directory(tmp_path):
        1 / 0
    assert os.getcwd() == before


def test_a_long_name(tmp_path):
    with atomic_write(tmp_path / ("n" * 255)) as file:
        file.write(b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_a_device_is_written_directly():
    with atomic_write("/dev/null") as file:
        file.write(b"x")
    assert not os.path.isfile("/dev/null")


def test_errors(tmp_path):
    with pytest.raises(FormatError, match="is a folder"), atomic_write(tmp_path):
        pass
    with pytest.raises(SnapshotError, match="cannot be written"), atomic_write(tmp_path / "no" / "a", SnapshotError):
        pass
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FormatError, match="cannot be written"), atomic_write(tmp_path / "file" / "a"):
        pass


def test_another_files_trouble_is_not_this_files(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        os.stat("/nonexistent/b")
    assert os.listdir(tmp_path) == []
