from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffe_port.errors import FormatError
from caffe_port.proto import pb
from caffe_port.proto.solverstate import read_solverstate, write_hdf5_solverstate, write_solverstate
from tests.proto.encoder import integer, layer, legacy_shape, message, packed, shape, string
from tests.proto.test_hdf5_weights import layout
from tests.shared import MODELS, ORACLE, needs

BINARY = sorted((ORACLE / "solvers").glob("*/*.solverstate"))
HDF5 = sorted((ORACLE / "solvers").glob("*/*.solverstate.h5"))
ADAM = ORACLE / "solvers" / "adam" / "snap_iter_10.solverstate"
OLD = MODELS / "snapshots" / "cifar10_full_v1_iter_70000.solverstate"
CIFAR_HDF5 = MODELS / "snapshots" / "cifar10_full_iter_60000.solverstate.h5"


def identify(path):
    return f"{path.parent.name}-{path.name}"


@pytest.mark.parametrize("path", BINARY, ids=identify)
def test_real_states_read_as_protobuf_reads_them_and_are_written_again_byte_for_byte(path, tmp_path):
    state, expected = read_solverstate(path), pb.SolverState.FromString(path.read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (
        expected.iter,
        expected.learned_net,
        expected.current_step,
    )
    for array, blob in zip(state.history, expected.history, strict=True):
        assert array.shape == tuple(blob.shape.dim)
        assert array.ravel().tolist() == list(blob.data)
    write_solverstate(tmp_path / "again", *state)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", HDF5, ids=identify)
def test_real_hdf5_states_are_written_again_with_the_same_layout(path, tmp_path):
    state = read_solverstate(path)
    with h5py.File(path) as file:
        assert state.iter == file["iter"][0]
        assert state.current_step == file["current_step"][0]
        assert state.learned_net == file["learned_net"][()].decode()
        assert len(state.history) == len(file["history"])
        for index, array in enumerate(state.history):
            assert np.array_equal(array, file[f"history/{index}"][()])
    write_hdf5_solverstate(tmp_path / "again.h5", *state)
    assert layout(tmp_path / "again.h5") == layout(path)


def test_the_final_zero_byte_that_caffe_relies_on_is_stored(tmp_path):
    """Caffe's reader makes a C string of the dataset's bytes; h5py's own strings lack the terminator."""
    write_hdf5_solverstate(tmp_path / "s.h5", 1, "abc", [])
    with h5py.File(tmp_path / "s.h5") as file:
        kind = file["learned_net"].id.get_type()
        assert (kind.get_size(), kind.get_strpad()) == (4, h5py.h5t.STR_NULLTERM)


@needs(OLD)
def test_old_states_keep_the_four_axes_of_their_file():
    state, expected = read_solverstate(OLD), pb.SolverState.FromString(OLD.read_bytes())
    assert (state.iter, len(state.history)) == (70000, 8)
    for array, blob in zip(state.history, expected.history, strict=True):
        assert array.shape == (blob.num, blob.channels, blob.height, blob.width)
        assert np.array_equal(array.ravel(), np.array(blob.data, np.float32))


@needs(CIFAR_HDF5)
def test_histories_are_ordered_by_number_not_by_name(tmp_path):
    state = read_solverstate(CIFAR_HDF5)
    assert (state.iter, state.learned_net) == (60000, "examples/cifar10/cifar10_full_iter_60000.caffemodel.h5")
    assert [array.ndim for array in state.history] == [4, 1, 4, 1, 4, 1, 2, 1]
    write_hdf5_solverstate(tmp_path / "s.h5", 1, "", [np.full(1, index) for index in range(12)])
    assert [array.tolist() for array in read_solverstate(tmp_path / "s.h5").history] == [[i] for i in range(12)]


def test_strings_of_variable_length_and_missing_fields_are_read(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["iter"], file["learned_net"] = 7, "n.caffemodel.h5"
        file.create_group("history")
    assert read_solverstate(tmp_path / "s.h5") == (7, "n.caffemodel.h5", [], 0)
    (tmp_path / "s").write_bytes(integer(1, 7))
    assert read_solverstate(tmp_path / "s") == (7, "", [], 0)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"iter: 5\n", "is text"),
        (string(1, "net") + layer("ip"), "These are weights"),
        (layer("ip"), "These are weights"),
        (string(2, "net.caffemodel"), "no iteration"),
        (integer(1, -1), "is negative"),
        (integer(1, 1) + message(3, packed(5, [1.0]), shape(2)), "History 0: A blob of 2 needs 2 values but has 1"),
        (ADAM.read_bytes()[:-3], "byte .* are left.*cut off"),
    ],
)
def test_other_files_are_refused(tmp_path, content, cause):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(FormatError, match=f"(?s){cause}") as caught:
        read_solverstate(tmp_path / "s")
    assert caught.value.file == tmp_path / "s"


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        ({"data/ip/0": np.zeros(1)}, "no 'history'; it holds weights"),
        ({"history/0": np.zeros(1)}, "no 'iter'"),
        ({"iter": [1], "history": np.zeros(1)}, "'history' is no group"),
        ({"iter": [1], "history/0": np.zeros(1), "history/2": np.zeros(1)}, "2 blobs, but '1' is not among them"),
        ({"iter": [1, 2], "history/0": np.zeros(1)}, "2 numbers instead of one"),
        ({"iter": [1.5], "history/0": np.zeros(1)}, "wrong type"),
        ({"iter": [1], "history/0": np.zeros(1), "learned_net": 3}, "wrong type"),
        ({"iter": [1], "history/0": np.zeros(1), "learned_net": ["a", "b"]}, "no string"),
        ({"iter": [1], "history/0": h5py.ExternalLink("other.h5", "/x")}, "is a link"),
        ({"iter": [1], "history/0": np.zeros(1), "learned_net": h5py.ExternalLink("other.h5", "/x")}, "is a link"),
    ],
)
def test_other_hdf5_files_are_refused(tmp_path, entries, cause):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for name, value in entries.items():
            file[name] = value
    with pytest.raises(FormatError, match=cause):
        read_solverstate(tmp_path / "s.h5")


def test_legacy_histories_with_the_right_count_are_accepted(tmp_path):
    (tmp_path / "s").write_bytes(integer(1, 3) + message(3, packed(5, [1, 2]), legacy_shape(1, 1, 1, 2)))
    assert read_solverstate(tmp_path / "s").history[0].tolist() == [[[[1, 2]]]]
