"""Files of tensors against their own libraries, and what is no such file."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import stat
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch

from caffe_port.convert.tensors import FORMATS, read_tensors, write_tensors
from caffe_port.errors import CaffeError, FormatError, WeightsError

safetensors = pytest.importorskip("safetensors.torch")

ARRAYS = {
    "conv/1.a b.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "卷积.bias": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], np.float32),
    "p.parameter": np.array(3, np.float32),
    "e.weight": np.zeros((0, 3), np.float32),
}


@pytest.fixture(params=sorted(FORMATS))
def suffix(request):
    return request.param


def by_library(path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        return dict(np.load(path))
    load = safetensors.load_file if path.suffix == ".safetensors" else lambda p: torch.load(p, weights_only=True)
    return {key: tensor.numpy() for key, tensor in load(path).items()}


def save_by_library(path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **{key: tensor.numpy() for key, tensor in tensors.items()})
    elif path.suffix == ".safetensors":
        safetensors.save_file(tensors, path)
    else:
        torch.save(tensors, path)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert (found[key].shape, found[key].dtype) == (array.shape, np.float32)
        assert found[key].tobytes() == array.tobytes()


def test_written_files_hold_every_bit(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    write_tensors(path, ARRAYS)
    assert_same(by_library(path), ARRAYS)
    assert_same(read_tensors(path), ARRAYS)
    assert list(tmp_path.iterdir()) == [path]


def test_views_of_any_layout_are_written(suffix, tmp_path):
    base = np.arange(48, dtype=np.float32).reshape(4, 12)
    unaligned = np.frombuffer(bytearray(b"\0" + base.tobytes()), np.float32, offset=1)
    write_tensors(tmp_path / f"w{suffix}", {"a.weight": base[:, ::2], "b.weight": base.T, "c.weight": unaligned})
    found = by_library(tmp_path / f"w{suffix}")
    assert np.array_equal(found["a.weight"], base[:, ::2])
    assert np.array_equal(found["b.weight"], base.T)
    assert np.array_equal(found["c.weight"], base.ravel())


def test_other_floating_types_become_float32(suffix, tmp_path):
    values = [0.5, -2.0, float("nan"), float("inf"), 2.0**-14]
    types = [torch.float16, torch.float32, torch.float64]
    types += [] if suffix == ".npz" else [torch.bfloat16]
    save_by_library(tmp_path / f"w{suffix}", {f"{t}.weight": torch.tensor(values, dtype=t) for t in types})
    found = read_tensors(tmp_path / f"w{suffix}")
    assert len(found) == len(types)
    for array in found.values():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.array(values, np.float32))


def test_values_beyond_float32_are_refused(suffix, tmp_path):
    save_by_library(tmp_path / f"w{suffix}", {"a.weight": torch.tensor([1, 1e39], dtype=torch.float64)})
    with pytest.raises(WeightsError, match=r"w\.\w+: 'a.weight' has values beyond the range of float32"):
        read_tensors(tmp_path / f"w{suffix}")


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_values_that_are_no_floats_are_refused(suffix, dtype, tmp_path):
    save_by_library(tmp_path / f"w{suffix}", {"a.count": torch.zeros(3).to(dtype)})
    with pytest.raises(FormatError, match=f"'a.count' holds values of type {str(dtype)[6:]}"):
        read_tensors(tmp_path / f"w{suffix}")


def test_big_endian_arrays(tmp_path):
    np.savez(tmp_path / "w.npz", **{"a.weight": np.array([1, 2], ">f4")})
    assert read_tensors(tmp_path / "w.npz")["a.weight"].tolist() == [1, 2]


def test_parameters_views_and_the_old_torch_format(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    state = {"a.weight": torch.nn.Parameter(base.t()), "b.weight": base[1:], "c.weight": base}
    for zipped in (True, False):
        torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        found = read_tensors(tmp_path / "w.pt")
        assert found["a.weight"].tolist() == base.t().tolist()
        assert found["b.weight"].tolist() == [[3, 4, 5]]


def test_changing_an_array_leaves_the_file_alone(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    write_tensors(path, ARRAYS)
    before = path.read_bytes()
    read_tensors(path)["conv/1.a b.weight"][...] = 7
    assert path.read_bytes() == before


# -- what is no file of tensors ---------------------------------------------------------------------------------------


class Unpickled:
    """What a file must not bring to life."""

    alive = False

    def __setstate__(self, state):
        Unpickled.alive = True


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ({"state_dict": {"a.weight": torch.zeros(1)}, "epoch": 3}, "training checkpoint.*'state_dict', 'epoch'.*alone"),
        ({"model": {}, "optimizer": {}}, "training checkpoint.*'model' or 'optimizer'"),
        ({"state": {}, "param_groups": []}, "state of an optimizer"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        ({"a.weight": 3.0}, "'a.weight' is no tensor but of type float"),
        ({1: torch.zeros(1)}, "Key 1 is no name"),
        ({"a.weight": torch.zeros(2, 2).to_sparse()}, "sparse"),
        ({"a.weight": torch.zeros(1).expand(2**15, 2**15)}, "more values than are stored"),
        ({}, "holds no tensors"),
        (Unpickled(), r"no plain state_dict.*torch.save\(model.state_dict\(\), path\)"),
        (torch.nn.Linear(1, 1), "no plain state_dict"),
    ],
)
def test_other_things_that_torch_saves(content, cause, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(FormatError, match=rf"w\.pt: .*{cause}") as caught:
        read_tensors(tmp_path / "w.pt")
    assert "weights_only" not in str(caught.value)
    assert not Unpickled.alive


def test_arrays_of_objects_and_other_members(tmp_path):
    np.savez(tmp_path / "w.npz", **{"a.weight": np.array([Unpickled()], object)})
    with pytest.raises(FormatError, match=r"cannot be read as \.npz"):
        read_tensors(tmp_path / "w.npz")
    assert not Unpickled.alive
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(FormatError, match=r"'notes\.txt' is no tensor"):
        read_tensors(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", **{"a.weight": np.array(["text"])})
    with pytest.raises(FormatError, match="values of type"):
        read_tensors(tmp_path / "y.npz")


def test_a_file_that_is_no_npz_gets_no_advice_to_unpickle_it(tmp_path):
    (tmp_path / "w.npz").write_bytes(pickle.dumps({"a.weight": Unpickled()}))
    with pytest.raises(FormatError, match=r"w\.npz: cannot be read as \.npz.*numpy\.savez") as caught:
        read_tensors(tmp_path / "w.npz")
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git-lfs"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file"),
        (b"PK\x03\x04" + bytes(100), "cannot be read|no plain state_dict"),
        (bytes(range(256)), "cannot be read|no plain state_dict"),
        (b"\x7f" * 300, ""),
    ],
)
def test_foreign_files(content, cause, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"(?s)w\{suffix}.*({cause})"):
        read_tensors(path)


def test_cut_and_damaged_files(suffix, tmp_path):
    path, hurt = tmp_path / f"w{suffix}", tmp_path / f"hurt{suffix}"
    write_tensors(path, {"a.weight": np.arange(6, dtype=np.float32), "b.bias": np.ones(2, np.float32)})
    data = path.read_bytes()
    for size in range(0, len(data), 7):
        hurt.write_bytes(data[:size])
        with pytest.raises(CaffeError, match="hurt"):
            read_tensors(hurt)
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(data), 150):
        hurt.write_bytes(data[:place] + bytes([data[place] ^ int(generator.integers(1, 256))]) + data[place + 1 :])
        try:
            read_tensors(hurt)
        except CaffeError as error:
            assert "hurt" in str(error)  # noqa: PT017


def test_absurd_shapes_are_refused_without_memory(tmp_path):
    header = json.dumps({"a.weight": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive, archive.open("a.weight.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2**10)})
    torch.save({"a.weight": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.npz", "w.pt"):
        with pytest.raises(FormatError, match=name.replace(".", r"\.")):
            read_tensors(tmp_path / name)


def test_a_failed_write_leaves_nothing(suffix, tmp_path):
    with pytest.raises(FormatError, match="cannot be written"):
        write_tensors(tmp_path / "absent" / f"w{suffix}", ARRAYS)
    (tmp_path / f"w{suffix}").mkdir()
    with pytest.raises(FormatError, match="is a folder"):
        write_tensors(tmp_path / f"w{suffix}", ARRAYS)
    assert [path.name for path in tmp_path.rglob("*")] == [f"w{suffix}"]


def test_a_full_disk(suffix, tmp_path):
    """A limit on the size of files fails as a full disk does: in the middle of writing, and in every library's way."""
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(FormatError, match=rf"w\{suffix}: cannot be written: .*too large.*has space"):
            write_tensors(path, {"a.weight": np.zeros(100_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_while_torch_writes_stays_ctrl_c():
    class Stopped(io.BytesIO):
        def write(self, data):
            raise KeyboardInterrupt

    _, write = FORMATS[".pt"]
    with pytest.raises(KeyboardInterrupt):
        write(Stopped(), ARRAYS)


def test_files_may_be_read_by_whom_the_umask_lets(suffix, tmp_path):
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / f"w{suffix}", ARRAYS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / f"w{suffix}").stat().st_mode) == 0o640


def test_without_the_package(tmp_path, monkeypatch):
    write_tensors(tmp_path / "w.safetensors", ARRAYS)
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FormatError, match=r"w\.safetensors: .*pip install 'caffe_port\[convert\]'"):
        read_tensors(tmp_path / "w.safetensors")
    with pytest.raises(FormatError, match="extra 'convert'"):
        write_tensors(tmp_path / "x.safetensors", ARRAYS)
    assert not (tmp_path / "x.safetensors").exists()
