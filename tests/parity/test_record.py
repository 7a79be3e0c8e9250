"""Reading records: names with slashes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.errors import FormatError
from caffe_port.parity import Record

ONE = np.ones(2, np.float32)


def test_keys(tmp_path):
    path = tmp_path / "r.npz"
    keys = ["input/a/b", "param/conv/1/0", "blob/x/y", "top_diff/x/y", "diff/a", "param_diff/c/10", "param_after/c/2"]
    np.savez(path, **{key: ONE * i for i, key in enumerate(keys)})
    record = Record.read(path)
    groups = [record.inputs, record.params, record.blobs, record.top_diffs, record.diffs, record.param_diffs]
    groups.append(record.params_after)
    assert [list(group) for group in groups] == [[key.partition("/")[2]] for key in keys]
    assert [next(iter(group.values()))[0] for group in groups] == list(range(7))
    assert record.source == str(path)


def test_other_number_types_become_float32(tmp_path):
    np.savez(tmp_path / "r.npz", **{"blob/a": np.arange(3), "blob/b": np.float16([0.5]), "blob/c": np.array([True])})
    record = Record.read(tmp_path / "r.npz")
    assert {name: value.dtype for name, value in record.blobs.items()} == dict.fromkeys("abc", np.dtype(np.float32))
    assert record.blobs["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("key", ["blobs/x", "x", "blob/", "param/conv1", "param/conv1/w", "param_diff/conv/-1"])
def test_unknown_keys(key, tmp_path):
    np.savez(tmp_path / "r.npz", **{"blob/x": ONE, key: ONE})
    with pytest.raises(FormatError, match=rf"r\.npz: has the key '{key}'\. Known are .*top_diff"):
        Record.read(tmp_path / "r.npz")


def test_files_that_are_no_records(tmp_path):
    path = tmp_path / "r.npz"
    with pytest.raises(FormatError, match="Cannot be read: No such file"):
        Record.read(path)
    np.savez(path, **{"input/x": ONE})
    with pytest.raises(FormatError, match="holds no blob/<name>"):
        Record.read(path)
    np.savez(path, **{"blob/x": ONE})
    whole = path.read_bytes()
    for content in (b"", b"no zip", whole[:60], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"is no \.npz file of numbers"):
            Record.read(path)
    np.savez(path, **{"blob/x": np.array(["text"])})
    with pytest.raises(FormatError, match="'blob/x' holds <U4, no numbers"):
        Record.read(path)
    np.savez(path, **{"blob/x": np.array([{}])})
    with pytest.raises(FormatError, match=r"is no \.npz file of numbers"):  # a pickle is never opened
        Record.read(path)
    np.save(tmp_path / "a.npy", ONE)
    with pytest.raises(FormatError, match=r"is a single array, no \.npz"):
        Record.read(tmp_path / "a.npy")
