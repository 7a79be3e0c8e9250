from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffe_port.errors import CaffeError, FormatError, WeightsError
from caffe_port.proto import pb
from caffe_port.proto.hdf5_weights import read_hdf5_weights, write_hdf5_weights
from caffe_port.proto.weights import read_weights
from tests.shared import MODELS, ORACLE, needs

CASE = ORACLE / "solvers" / "sgd_hdf5_snapshot"
REAL = CASE / "snap_iter_20.caffemodel.h5"
CIFAR = MODELS / "snapshots" / "cifar10_full_iter_60000.caffemodel.h5"


def net_of(*names: str):
    return pb.NetParameter(layer=[pb.LayerParameter(name=name) for name in names])


def layout(path: Path) -> dict:
    """Everything that a reader can see of an HDF5 file: kind, type, shape and values of each object by its path."""
    found = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group):
            found[name] = "group"
        else:
            plist, kind = item.id.get_create_plist(), item.id.get_type()
            found[name] = (kind.get_class(), kind.get_size(), item.shape, plist.get_layout(), item[()].tolist())

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def test_a_real_file_holds_what_its_solver_ended_with():
    expected = np.load(CASE / "expected.npz")
    weights = read_weights(REAL)
    assert weights.format == "hdf5"
    assert [found.name for found in weights] == sorted(found.name for found in weights)
    blobs = {f"final/{found.name}/{i}": blob for found in weights for i, blob in enumerate(found.blobs)}
    assert set(blobs) == {key for key in expected.files if key.startswith("final/")}
    for key, blob in blobs.items():
        assert (blob.dtype, blob.shape) == (np.float32, expected[key].shape)
        assert np.array_equal(blob, expected[key])
    assert {found.name for found in weights if not found.blobs} == {"data", "loss", "pool1", "pool2", "relu1", "relu2"}


@needs(CIFAR)
def test_a_real_training_run_reads_as_h5py_reads_it():
    with h5py.File(CIFAR, "r") as file:
        for found in read_weights(CIFAR):
            for index, blob in enumerate(found.blobs):
                assert np.array_equal(blob, file[f"data/{found.name}/{index}"][()])


def test_a_real_file_is_written_again_with_the_same_layout(tmp_path):
    weights = read_weights(REAL)
    path = tmp_path / "again.caffemodel.h5"
    write_hdf5_weights(path, net_of(*(w.name for w in weights)), {w.name: w.blobs for w in weights})
    assert layout(path) == layout(REAL)


def test_shared_blobs_are_left_out_and_diffs_are_not(tmp_path):
    path, blob = tmp_path / "w.h5", np.arange(4, dtype=np.float32)
    write_hdf5_weights(path, net_of("a", "b"), {"a": [blob, blob], "b": [None, blob + 1]}, {"b": [blob, -blob]})
    with h5py.File(path) as file:
        assert (set(file["data/b"]), set(file["diff/b"])) == ({"1"}, {"0", "1"})
    first, second = read_weights(path)
    assert [array.tolist() for array in first.blobs] == [[0, 1, 2, 3]] * 2
    assert second.blobs[0] is None
    assert second.blobs[1].tolist() == [1, 2, 3, 4]


def test_names_with_slashes_are_nested_groups(tmp_path):
    path, blob = tmp_path / "w.h5", np.ones(2)
    names = ("inception_3a/1x1", "inception_3a/relu", "inception_3a", "data")
    write_hdf5_weights(path, net_of(*names[:2], *names[3:]), {names[0]: [blob]})
    assert {w.name: len(w.blobs) for w in read_weights(path)} == {names[0]: 1, names[1]: 0, names[3]: 0}
    write_hdf5_weights(path, net_of("a", "a/b"), {"a": [blob], "a/b": [blob, blob]})
    assert {w.name: len(w.blobs) for w in read_weights(path)} == {"a": 1, "a/b": 2}


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/0")])
def test_layers_that_want_the_same_place_are_refused(tmp_path, names):
    with pytest.raises(FormatError, match=f"layer '{names[1]}'.*BINARYPROTO"):
        write_hdf5_weights(tmp_path / "w.h5", net_of(*names), {name: [np.ones(1)] for name in names})
    assert list(tmp_path.iterdir()) == []


def test_what_would_be_lost_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no layer for these blobs: b"):
        write_hdf5_weights(tmp_path / "w.h5", net_of("a"), {"b": [np.ones(1)]})
    with pytest.raises(WeightsError, match="layer 'a': The shapes of diffs and blobs differ"):
        write_hdf5_weights(tmp_path / "w.h5", net_of("a"), {"a": [np.ones(1)]}, {"a": [np.ones(2)]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4", "<i4", "u1"])
def test_numbers_of_other_types_become_floats(tmp_path, dtype):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/ip/0"] = np.arange(6).astype(dtype).reshape(2, 3)
    (found,) = read_weights(tmp_path / "w.h5")
    assert found.blobs[0].dtype == np.float32
    assert found.blobs[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_compressed_data_is_read(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/ip/0", data=np.zeros((100, 100), "f4"), compression="gzip", shuffle=True)
    assert read_weights(tmp_path / "w.h5")[0].blobs[0].shape == (100, 100)


def external_link(file: h5py.File) -> None:
    file["data/ip"] = h5py.ExternalLink("other.h5", "/data/ip")


def external_root(file: h5py.File) -> None:
    file["data"] = h5py.ExternalLink("other.h5", "/data")


def soft_link(file: h5py.File) -> None:
    file["data/ip/0"] = h5py.SoftLink("/data/other/0")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("data/ip/0", (2,), "f4", external=[("/etc/hostname", 0, 8)])


def virtual(file: h5py.File) -> None:
    source = h5py.VirtualSource("other.h5", "x", (2,), "f4")
    mapping = h5py.VirtualLayout((2,), "f4")
    mapping[:] = source
    file.create_virtual_dataset("data/ip/0", mapping)


def never_stored(file: h5py.File) -> None:
    file.create_dataset("data/ip/0", (2**20, 2**10), "f4")


def bomb(file: h5py.File) -> None:
    file.create_dataset("data/ip/0", (2**15, 2**15), "f4", chunks=(2**10, 2**10), compression="gzip")


def huge_chunk(file: h5py.File) -> None:
    kind = {"maxshape": (None,), "chunks": (2**28,), "compression": "gzip"}
    file.create_dataset("data/ip/0", (1,), "f4", **kind)


def two_to_the_80(file: h5py.File) -> None:
    file.create_dataset("data/ip/0", (2**20,) * 4, "f4", chunks=(1, 1, 1, 2**10))


def other_filter(file: h5py.File) -> None:
    file.create_dataset("data/ip/0", data=np.zeros(100, "f4"), compression="lzf")


def text(file: h5py.File) -> None:
    file["data/ip/0"] = "weights"


def nothing(file: h5py.File) -> None:
    file["data/ip/0"] = h5py.Empty("f4")


def odd_name(file: h5py.File) -> None:
    file["data/ip/weight"] = np.zeros(2, "f4")


def padded_name(file: h5py.File) -> None:
    file["data/ip/00"] = np.zeros(2, "f4")


def huge_number(file: h5py.File) -> None:
    file["data/ip/99999999999"] = np.zeros(2, "f4")


def dataset_in_root(file: h5py.File) -> None:
    file["data/0"] = np.zeros(2, "f4")


def cycle(file: h5py.File) -> None:
    inner = file.create_group("data/ip")
    inner["again"] = file["data"]


def solver_state(file: h5py.File) -> None:
    file["iter"], file["history/0"] = [1], np.zeros(2)


def training_data(file: h5py.File) -> None:
    file["data"], file["label"] = np.zeros((4, 2)), np.zeros(4)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (external_link, "'ip' in group '/data' is a link"),
        (external_root, "'data' in group '/' is a link"),
        (soft_link, "link to another place"),
        (external_storage, "lies in another file"),
        (virtual, "lies in another file"),
        (never_stored, "4294967296 bytes are declared but 0 are stored"),
        (bomb, "are declared but"),
        (huge_chunk, "are declared but"),
        (two_to_the_80, "exceeds Caffe's"),
        (other_filter, "another way than gzip"),
        (text, "wrong type"),
        (nothing, "wrong type"),
        (odd_name, "layer 'ip': 'weight' is no blob"),
        (padded_name, "'00' is no blob"),
        (huge_number, "'99999999999' is no blob"),
        (dataset_in_root, "something else than layers"),
        (cycle, "linked from several places"),
        (solver_state, "it is a solver state"),
        (training_data, "no group 'data'"),
        (lambda file: file.create_group("data"), "no layers"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path, make, cause):
    path = tmp_path / "w.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data/ip/0"] = np.zeros(2, "f4")
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(FormatError, match=cause) as caught:
        read_weights(path)
    assert caught.value.file == path


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6, 0.95])
def test_cut_files_are_refused(tmp_path, keep):
    data = REAL.read_bytes()
    (tmp_path / "w.h5").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(FormatError, match="damaged or was cut off"):
        read_weights(tmp_path / "w.h5")


def test_damaged_bytes_give_weights_or_a_caffe_error(tmp_path):
    """A flip of a bit in the metadata of a real file. (Floats alone fill two thirds of it: those flips read well.)"""
    rng, data, path, refused = np.random.default_rng(0), REAL.read_bytes(), tmp_path / "w.h5", 0
    for position in rng.integers(0, len(data), 300).tolist():
        path.write_bytes(data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :])
        try:
            read_hdf5_weights(path)
        except CaffeError:
            refused += 1
    assert 0 < refused < 300
