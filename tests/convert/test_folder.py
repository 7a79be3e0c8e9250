"""Folders that appear whole or not at all."""

from __future__ import annotations

import pytest

from caffe_port.convert.folder import atomic_folder
from caffe_port.errors import FormatError

FILES = ("a", "b")


def write(path, text, files=FILES):
    with atomic_folder(path, FILES) as part:
        for name in files:
            (part / name).write_text(text)


def content(path):
    return {child.name: child.read_text() for child in path.iterdir()}


def test_a_new_folder_an_empty_one_and_an_earlier_export_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "new", "1", ["a"])
    for name in ("new", "empty"):
        write(tmp_path / name, "2")
        assert content(tmp_path / name) == {"a": "2", "b": "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FormatError, match=r"holds other files: thesis\.tex"):
        write(tmp_path, "1")
    assert content(tmp_path) == {"thesis.tex": "precious"}


def test_a_failure_leaves_the_earlier_export(tmp_path):
    write(tmp_path / "x", "1")
    with pytest.raises(TypeError):
        write(tmp_path / "x", None)
    assert content(tmp_path / "x") == {"a": "1", "b": "1"}
    assert len(list(tmp_path.iterdir())) == 1


def test_files_and_absent_parents_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="is a file"):
        write(tmp_path / "file", "1")
    with pytest.raises(FormatError, match="cannot be written"):
        write(tmp_path / "no" / "such", "1")


def test_a_link_is_followed(tmp_path):
    write(tmp_path / "real", "1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "2")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real")["a"] == "2"
