"""Tables, records and folders that are there whole or not at all."""

from __future__ import annotations

import pytest

from caffe_port.errors import StudyError
from caffe_port.study.folder import (
    RunFolder,
    make_folder,
    read_made,
    read_record,
    read_table,
    write_record,
    write_table,
)


def test_tables_read_back(tmp_path):
    rows = [{"a": 'comma, "quote" and\nline', "b": "\udcff"}, {"a": "", "b": "é"}, {"a": "1\u20282", "b": "3\x0b4"}]
    write_table(tmp_path / "new" / "t.csv", ["a", "b"], rows)
    assert read_table(tmp_path / "new" / "t.csv", ["b"]) == rows
    write_table(tmp_path / "n.csv", ["x"], [{"x": 0.1 + 0.2}, {"x": 1e-300}])
    assert [float(row["x"]) for row in read_table(tmp_path / "n.csv")] == [0.1 + 0.2, 1e-300]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("b\n1\n", "column 'a' is missing"),
        ("", "column 'a' is missing"),
        ("a,b\n1\n", "longer or shorter"),
        ("a\n1,2\n", "longer or shorter"),
        ('a\n"1', "cannot be read"),
        ("a\n", "holds no row"),
    ],
)
def test_damaged_tables(tmp_path, text, cause):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(StudyError, match=cause) as error:
        read_table(tmp_path / "t.csv", ["a"])
    assert str(tmp_path / "t.csv") in str(error.value)
    with pytest.raises(StudyError, match="is not there"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"digest": "a"}', "\x00", "[" * 100_000])
def test_damaged_records(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(StudyError, match=r"r\.json"):
        read_record(tmp_path / "r.json", ["digest", "other"])


def test_records_of_other_settings(tmp_path):
    path = tmp_path / "sub" / "r.json"
    assert read_made(path, "one") is None
    write_record(path, {"digest": "one", "x": [1.5]})
    assert read_made(path, "one", ["x"]) == {"digest": "one", "x": [1.5]}
    with pytest.raises(StudyError, match="other settings"):
        read_made(path, "two")


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "a" / "made"

    def fail(folder):
        (folder / "half").write_text("")
        raise KeyError

    with pytest.raises(KeyError):
        make_folder(target, fail)
    assert list(target.parent.iterdir()) == []
    make_folder(target, lambda folder: (folder / "whole").write_text("1"))
    make_folder(target, lambda folder: (folder / "whole").write_text("2"))
    assert (target / "whole").read_text() == "1", "the first one wins"
    assert list(target.parent.iterdir()) == [target]


def test_what_killed_processes_left(tmp_path):
    for name in ("lmdb/train.part", "features/conv2_train.0a1b.part", "lmdb/train"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".patches.csv.0a1b.part").touch()
    RunFolder(tmp_path).clear_unfinished()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["features", "lmdb", "lmdb/train"]
