from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_port.errors import FormatError
from caffe_port.proto import pb, wire
from tests.proto import encoder

INT64 = st.integers(-(2**63), 2**63 - 1)


def fields(data: bytes) -> list[wire.Field]:
    return list(wire.scan(memoryview(data)))


def test_scan_finds_the_value_of_each_wire_type():
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\x00\x00\x80\x3f" + b"\x21" + bytes(8)
    assert fields(data) == [(1, 0, 0, 1, 3), (2, 2, 3, 5, 8), (3, 5, 8, 9, 13), (4, 1, 13, 14, 22)]
    assert wire.read_int(memoryview(data), fields(data)[0]) == 150  # the example of protobuf's documentation
    assert wire.read_string(memoryview(data), fields(data)[1]) == "abc"


@given(INT64)
def test_integers_as_protobuf_encodes_them(value):
    data = memoryview(pb.BlobShape(dim=[value]).SerializeToString())
    (packed,) = wire.scan(data)
    assert list(wire.read_ints(data, packed)) == [value]
    assert wire.encode_varint(value) == bytes(data[packed.start : packed.stop])


@given(st.integers(0, 2**31 - 1), st.text())
def test_encoders_write_what_protobuf_reads(iteration, name):
    state = pb.SolverState.FromString(wire.encode_int(1, iteration) + wire.encode_string(2, name))
    assert (state.iter, state.learned_net) == (iteration, name)


@given(st.lists(st.integers(0, 40), max_size=12))
def test_runs_of_unpacked_values_are_found_whole(lengths):
    """Runs of every length, each followed by a field that ends it; the look-ahead must not swallow or split any."""
    data = b"".join(encoder.unpacked(5, range(length)) + encoder.integer(1, 0x2D) for length in lengths)
    runs = [field for field in fields(data) if field.wire == wire.FIXED32]
    values = [wire.fixed_values(memoryview(data), run).copy().view("<f4").ravel().tolist() for run in runs]
    assert values == [list(range(length)) for length in lengths if length]


def test_keys_of_several_bytes_are_not_merged():
    data = encoder.unpacked(1001, [1.0, 2.0])
    assert [wire.fixed_values(memoryview(data), f).tobytes() for f in fields(data)] == [
        struct.pack("<f", 1.0),
        struct.pack("<f", 2.0),
    ]


def test_groups_are_skipped_with_everything_in_them():
    inner = encoder.group(3, encoder.string(4, "x"), encoder.unpacked(5, [1.0]), encoder.integer(6, 2**63))
    data = encoder.group(9, inner, inner) + encoder.integer(1, 7)
    assert [field.number for field in fields(data)] == [1]


def test_groups_nest_as_deep_as_protobuf_allows():
    nested = b""
    for _ in range(wire.MAX_DEPTH):
        nested = encoder.group(1, nested)
    assert fields(nested) == []
    with pytest.raises(FormatError, match="nested more than 100 deep"):
        fields(encoder.group(1, nested))


@pytest.mark.parametrize(
    ("data", "offset", "cause"),
    [
        (b"\x08", 1, "ends in the middle of a number"),
        (b"\x08\xff\xff", 1, "ends in the middle of a number"),
        (b"\x08" + b"\x80" * 10 + b"\x00", 1, "more than ten bytes"),
        (b"\x08\x00\x02\x00", 2, "0 is no field number"),
        (encoder.varint(2**32) + b"\x00", 0, "is no field number"),
        (b"\x0e", 0, "wire type 6"),
        (b"\x0f", 0, "wire type 7"),
        (b"\x0c", 0, "ends a group that was never started"),
        (b"\x0b\x14", 1, "another field started"),
        (b"\x0b\x08\x01", 3, "ends in the middle"),
        (b"\x0a\x05abcd", 1, "5 bytes begins here, but only 4 are left"),
        (b"\x0a" + encoder.varint(2**63), 1, "are left"),
        (b"\x0d\x00\x00\x00", 1, "4 bytes begins here, but only 3 are left"),
        (b"\x09" + bytes(7), 1, "8 bytes begins here"),
    ],
)
def test_damage_is_named_with_its_offset(data, offset, cause):
    with pytest.raises(FormatError, match=cause) as caught:
        fields(data)
    assert caught.value.offset == offset


def test_a_nested_message_ends_where_its_parent_says():
    data = memoryview(b"\x0a\x02\x08\x96\x01")
    (field,) = list(wire.scan(data, 0, 4))
    with pytest.raises(FormatError, match="ends in the middle of a number"):
        list(wire.scan(data, field.start, field.stop))


def test_files_that_protobuf_could_not_read_are_not_written(monkeypatch):
    monkeypatch.setattr(wire, "MAX_MESSAGE", 10)
    file = io.BytesIO()
    wire.write_messages(file, [[b"12345"], [b"678", b"90"]])
    assert file.getvalue() == b"1234567890"
    with pytest.raises(FormatError, match="HDF5"):
        wire.write_messages(file, [[b"12345"], [b"678", b"901"]])
