"""Damaged and hostile files: every reader ends with a result or a CaffeError, soon and without allocating much."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffe_port.errors import CaffeError
from caffe_port.proto.means import read_mean
from caffe_port.proto.solverstate import read_solverstate
from caffe_port.proto.weights import read_weights
from tests.proto import encoder
from tests.shared import ORACLE

CASE = ORACLE / "solvers" / "sgd_fixed"
CAFFEMODEL = CASE / "snap_iter_10.caffemodel"
SOLVERSTATE = CASE / "snap_iter_10.solverstate"
MEAN = ORACLE / "data" / "mean.binaryproto"
READERS = [read_weights, read_solverstate, read_mean]

pytestmark = pytest.mark.filterwarnings("ignore::caffe_port.errors.CaffeWarning")
FUZZ = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Fields with numbers that Caffe's messages use, with every wire type, nested three deep.
NUMBERS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 50, 100])
INTEGERS = st.one_of(st.integers(0, 20), st.integers(-(2**63), 2**63 - 1))
FLOATS = st.lists(st.floats(width=32), max_size=6)
LEAVES = st.one_of(
    st.builds(encoder.integer, NUMBERS, INTEGERS),
    st.builds(encoder.packed, NUMBERS, FLOATS),
    st.builds(encoder.unpacked, NUMBERS, FLOATS),
    st.builds(encoder.unpacked, NUMBERS, FLOATS, st.just("d")),
    st.builds(encoder.message, NUMBERS, st.binary(max_size=12)),
    st.builds(lambda dims: encoder.shape(*dims), st.lists(INTEGERS, max_size=4)),
)


def nest(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    several = st.lists(content, max_size=4)
    return st.one_of(
        st.builds(lambda number, parts: encoder.message(number, *parts), NUMBERS, several),
        st.builds(lambda number, parts: encoder.group(number, *parts), NUMBERS, several),
    )


MESSAGES = st.lists(st.recursive(LEAVES, nest, max_leaves=12), max_size=6).map(b"".join)


def attempt(reader: Callable, path: Path) -> object:
    """What ``reader`` makes of the file, or its CaffeError. Anything else it raises fails the test."""
    try:
        return reader(path)
    except CaffeError as error:
        result = error
    assert str(path) in str(result)
    return result


@FUZZ
@given(data=st.binary(max_size=300))
@pytest.mark.parametrize("reader", READERS)
def test_arbitrary_bytes(tmp_path, reader, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    attempt(reader, path)


@FUZZ
@given(data=MESSAGES)
@pytest.mark.parametrize("reader", READERS)
def test_arbitrary_messages(tmp_path, reader, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    attempt(reader, path)


@FUZZ
@given(data=st.binary(max_size=80))
def test_arbitrary_npy_headers(tmp_path, data):
    path = tmp_path / "mean.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data)
    assert isinstance(attempt(read_mean, path), CaffeError)


@pytest.mark.parametrize(("reader", "source"), [(read_weights, CAFFEMODEL), (read_solverstate, SOLVERSTATE)])
def test_every_truncation(tmp_path, reader, source):
    """A cut file is refused or, cut between two fields, reads as the part that is there."""
    data, path, whole = source.read_bytes(), tmp_path / "file", reader(source)
    accepted = 0
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found = attempt(reader, path)
        if not isinstance(found, CaffeError):
            accepted += 1
            names = [part.name for part in whole] if reader is read_weights else None
            assert names is None or [part.name for part in found] == names[: len(found)]
    assert accepted <= len(whole) + len(getattr(whole, "history", ()))


def test_every_truncation_of_a_mean_is_refused(tmp_path):
    data, path = MEAN.read_bytes(), tmp_path / "mean"
    for size in [*range(200), *range(200, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        assert isinstance(attempt(read_mean, path), CaffeError), size


@pytest.mark.parametrize(("reader", "source"), [(read_weights, CAFFEMODEL), (read_solverstate, SOLVERSTATE)])
def test_a_flipped_bit_in_every_byte(tmp_path, reader, source):
    data, path = source.read_bytes(), tmp_path / "file"
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :])
        attempt(reader, path)


@pytest.mark.parametrize(
    "unit",
    [
        encoder.unpacked(5, [1.0]) + encoder.integer(1, 1),  # runs of one
        encoder.unpacked(5, [1.0] * 3) + encoder.packed(5, [1.0]),
        encoder.message(5),  # chunks without data
        encoder.group(9),
    ],
)
def test_memory_stays_in_proportion_to_the_file(tmp_path, unit):
    path, blob = tmp_path / "file", unit * (2**17 // len(unit))
    path.write_bytes(encoder.layer("ip", blob))
    attempt(read_weights, path)
    tracemalloc.start()
    try:
        attempt(read_weights, path)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(blob)
    finally:
        tracemalloc.stop()
