from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from caffe_port.errors import CaffeWarning, FormatError, WeightsError
from caffe_port.proto import pb
from caffe_port.proto.weights import LayerWeights, Weights, read_weights, write_caffemodel
from tests.proto.encoder import integer, layer, legacy_shape, message, packed, shape, string, unpacked
from tests.shared import MODELS, ORACLE, needs

SNAPSHOTS = sorted((ORACLE / "solvers").glob("*/*.caffemodel"))
REAL_MODELS = sorted(MODELS.glob("*/weights.caffemodel"))
SMALL = ORACLE / "solvers" / "sgd_fixed"


def parse(tmp_path: Path, *content: bytes) -> Weights:
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(b"".join(content))
    return read_weights(path)


def first_blob(tmp_path: Path, *content: bytes) -> np.ndarray:
    return parse(tmp_path, layer("ip", b"".join(content)))[0].blobs[0]


def by_protobuf(path: Path) -> list:
    net = pb.NetParameter.FromString(path.read_bytes())
    return list(net.layer) or list(net.layers)


# -- real files -------------------------------------------------------------------------------------------------------


@needs(MODELS)
@pytest.mark.parametrize("path", REAL_MODELS, ids=lambda path: path.parent.name)
def test_real_models_read_as_protobuf_reads_them(path):
    weights, expected = read_weights(path), by_protobuf(path)
    assert weights.format == "binaryproto"
    assert [found.name for found in weights] == [message.name for message in expected]
    for found, reference in zip(weights, expected):
        assert len(found.blobs) == len(reference.blobs)
        for blob, legacy, proto in zip(found.blobs, found.legacy, reference.blobs):
            assert blob.dtype == np.float32
            assert legacy == proto.HasField("num")
            dims = (proto.num, proto.channels, proto.height, proto.width) if legacy else tuple(proto.shape.dim)
            assert blob.shape == dims
            if proto.data:
                assert np.array_equal(blob.ravel(), np.array(proto.data, np.float32))


def half(word: int) -> float:
    """IEEE 754 binary16, from its definition."""
    sign, exponent, fraction = (-1) ** (word >> 15), word >> 10 & 31, (word & 1023) / 1024
    return sign * (2.0 ** (exponent - 15) * (1 + fraction) if exponent else 2.0**-14 * fraction)


@needs(MODELS)
def test_nvidia_half_floats_decode_as_ieee_halves():
    path = MODELS / "hyperlpr_finemapping_fp16" / "weights.caffemodel"
    data, position = path.read_bytes(), 0
    for blob in (blob for found in read_weights(path) for blob in found.blobs):
        position = data.index(b"\x50\x02\x62", position) + 3  # raw_data_type FLOAT16, then raw_data
        while data[position] > 127:  # its length
            position += 1
        words = struct.unpack_from(f"<{blob.size}H", data, position + 1)
        assert blob.ravel().tolist() == [half(word) for word in words]
        position += 2 * blob.size
    assert b"\x50\x02\x62" not in data[position:]


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_snapshots_are_written_again_byte_for_byte(path, tmp_path):
    net = pb.NetParameter.FromString(path.read_bytes())
    blobs = {found.name: found.blobs for found in read_weights(path)}
    for message_ in net.layer:
        del message_.blobs[:]
    write_caffemodel(tmp_path / "again", net, blobs)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


# -- forms of data ----------------------------------------------------------------------------------------------------


def test_packed_data_is_not_copied(tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(layer("ip", packed(5, range(6)) + shape(2, 3)))
    blob = read_weights(path)[0].blobs[0]
    assert not blob.flags.owndata
    assert blob.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_changing_a_blob_leaves_the_file_alone(tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(layer("ip", packed(5, range(6)) + shape(2, 3)))
    before = path.read_bytes()
    read_weights(path)[0].blobs[0][...] = 7
    assert path.read_bytes() == before


def test_blobs_outlive_the_replaced_file(tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(layer("ip", packed(5, range(6)) + shape(6)))
    blob = read_weights(path)[0].blobs[0]
    (tmp_path / "new").write_bytes(b"other")
    (tmp_path / "new").replace(path)
    assert blob.tolist() == list(range(6))


@pytest.mark.parametrize(
    "content",
    [
        packed(5, range(6)) + shape(2, 3),
        shape(2, 3) + packed(5, range(6)),
        shape(2) + packed(5, range(6)) + shape(3),  # protobuf merges what is given twice
        packed(5, []) + packed(5, [0]) + packed(5, [1, 2]) + shape(2, 3) + packed(5, [3, 4, 5]),
        unpacked(5, range(6)) + shape(2, 3),
        unpacked(5, [0, 1]) + packed(5, [2, 3]) + unpacked(5, [4, 5]) + shape(2, 3),
        packed(8, range(6), "d") + shape(2, 3),
        unpacked(8, range(6), "d") + shape(2, 3),
        packed(5, [9, 9]) + packed(8, range(6), "d") + shape(2, 3),  # double_data comes first in Blob::FromProto
        message(7, integer(1, 2), integer(1, 3)) + packed(5, range(6)),  # unpacked dims
        packed(5, range(6)) + packed(6, range(6)) + shape(2, 3),  # with diff
        packed(5, range(6)) + unpacked(6, range(100)) + shape(2, 3),
        integer(10, 1) + message(12, struct.pack("<6f", *range(6))) + shape(2, 3),
        integer(10, 2) + message(12, struct.pack("<6e", *range(6))) + shape(2, 3),
        message(12, struct.pack("<6d", *range(6))) + shape(2, 3),  # raw_data_type's first value is DOUBLE
        packed(5, range(6)) + shape(2, 3) + string(99, "a field of a fork") + integer(50, 2),
    ],
)
def test_every_form_of_data_gives_the_same_blob(tmp_path, content):
    blob = first_blob(tmp_path, content)
    assert (blob.shape, blob.dtype) == ((2, 3), np.float32)
    assert blob.ravel().tolist() == list(range(6))


def test_doubles_beyond_float_become_infinite_as_in_cpp(tmp_path):
    assert first_blob(tmp_path, packed(8, [1e300, -1e300, 1e-300], "d"), shape(3)).tolist() == [np.inf, -np.inf, 0]


def test_scalars_and_empty_blobs(tmp_path):
    assert first_blob(tmp_path, packed(5, [3.5])).shape == ()
    assert first_blob(tmp_path, shape(0, 4)).shape == (0, 4)


def test_forms_of_nets(tmp_path):
    blob = packed(5, [1, 2]) + legacy_shape(1, 1, 1, 2)
    v2 = layer("ip", packed(5, [1, 2]) + shape(2), type="InnerProduct")
    v1 = message(2, string(4, "ip"), integer(5, 14), message(6, blob))
    v0 = message(2, message(1, string(1, "ip"), string(2, "innerproduct"), message(50, blob)), string(2, "data"))
    for content, type_, legacy in (
        (v2, "InnerProduct", False),
        (v1, "INNER_PRODUCT", True),
        (v0, "innerproduct", True),
    ):
        (found,) = parse(tmp_path, content)
        assert (found.name, found.type, found.legacy) == ("ip", type_, [legacy])
        assert found.blobs[0].ravel().tolist() == [1, 2]


def test_unknown_v1_types_are_given_by_number(tmp_path):
    assert parse(tmp_path, message(2, string(4, "x"), integer(5, 77)))[0].type == "77"


def test_old_layers_win_over_new_ones(tmp_path):
    with pytest.warns(CaffeWarning, match="1 'layers' .* 1 'layer'"):
        (found,) = parse(tmp_path, layer("new"), message(2, string(4, "old")))
    assert found.name == "old"


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path):
    assert parse(tmp_path, message(100, message(1, b"caf\xe9")))[0].name == "caf\\xe9"


# -- shapes -----------------------------------------------------------------------------------------------------------


def test_only_legacy_shapes_are_padded():
    """Blob::ShapeEquals compares num, channels, height, width with the shape padded by ones from the front."""
    old = LayerWeights("ip", "", [np.zeros((1, 1, 2, 3), np.float32)], [True])
    assert old.fits(0, (2, 3))
    assert old.fits(0, (1, 2, 3))
    assert old.fits(0, (1, 1, 2, 3))
    assert not old.fits(0, (6,))
    assert not old.fits(0, (2, 3, 1, 1))
    assert not old.fits(0, (1, 1, 1, 2, 3))
    new = LayerWeights("ip", "", [np.zeros((1, 1, 2, 3), np.float32), None], [False, False])
    assert new.fits(0, (1, 1, 2, 3))
    assert not new.fits(0, (2, 3))
    assert not new.fits(1, (2, 3))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (shape(2**40, 2**40), "exceeds Caffe's 2147483647 values"),
        (shape(*[2**10] * 8), "exceeds"),
        (shape(0, 2**40), "exceeds"),
        (shape(0, *[2**31 - 1] * 3), "exceeds"),
        (shape(*[1] * 33), "more than 32 axes"),
        (shape(-1, -6) + packed(5, range(6)), "negative dimension: -1 x -6"),
        (legacy_shape(1, 1, -2, -3) + packed(5, range(6)), "negative dimension"),
        (shape(2, 3), "2 x 3 needs 6 values but has 0"),
        (shape(2, 3) + packed(5, range(5)), "2 x 3 needs 6 values but has 5"),
        (shape(2, 2) + packed(5, range(5)), "2 x 2 needs 4 values but has 5"),
        (integer(1, 6) + packed(5, range(6)), "6 x 0 x 0 x 0 needs 0 values but has 6"),
        (packed(5, range(6)), "scalar needs 1 values but has 6"),
        (b"", "scalar needs 1 values but has 0"),
        (shape(1) + message(5, b"12345"), "5 bytes of data are no whole number of 4-byte values"),
        (shape(3) + integer(10, 2) + message(12, b"12345"), "no whole number of 2-byte"),
        (shape(1) + integer(10, 3) + message(12, b"1234"), "type 3, which is no floating-point type"),
    ],
)
def test_blobs_that_do_not_add_up(tmp_path, content, cause):
    net = layer("conv", packed(5, [1.0])) + layer("ip", content)
    with pytest.raises(FormatError, match=cause) as caught:
        parse(tmp_path, net)
    assert (caught.value.layer, caught.value.layer_type) == ("ip", "InnerProduct")
    assert len(layer("conv", packed(5, [1.0]))) < caught.value.offset <= len(net)
    assert "Blob 0" in str(caught.value)
    assert caught.value.remedy


# -- foreign files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "git-lfs pointer.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b'name: "net"\nlayer { name: "ip" }\n', "is text.*prototxt"),
        ("layer { name: 'ü' }".encode() * 100, "is text"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"PK\x03\x04\x00\x00", "zip archive"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (bytes(257) + b"ustar\x00", "tar archive"),
        (bytes(16) + b"\xde\xc0\xef\xbe" + bytes(100), "LMDB"),
        (integer(1, 10) + string(2, "net_iter_10.caffemodel"), "solver state"),
        (legacy_shape(1, 3, 2, 2) + packed(5, range(12)), "mean file"),
        (packed(5, range(12)) + shape(3, 2, 2), "mean file"),
        (string(1, "net"), "no layers"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5 file cannot be read"),
        (layer("ip", packed(5, [1.0]))[:-1], "byte 2: A field of .* only .* left"),
    ],
)
def test_foreign_files_are_named(tmp_path, content, cause):
    with pytest.raises(FormatError, match=f"(?s)weights.caffemodel.*{cause}"):
        parse(tmp_path, content)


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(FormatError, match="No such file"):
        read_weights(tmp_path / "absent")
    with pytest.raises(FormatError, match="folder"):
        read_weights(tmp_path)
    (tmp_path / "data.mdb").touch()
    with pytest.raises(FormatError, match="folder holding an LMDB"):
        read_weights(tmp_path)
    with pytest.raises(FormatError, match="no regular file"):
        read_weights("/dev/null")
    with pytest.raises(FormatError, match="null"):
        read_weights("a\0b")


# -- writing ----------------------------------------------------------------------------------------------------------


def small_net() -> tuple:
    net = pb.NetParameter.FromString((SMALL / "snap_iter_10.caffemodel").read_bytes())
    return net, {found.name: found.blobs for found in read_weights(SMALL / "snap_iter_10.caffemodel") if found.blobs}


def test_diffs_stand_beside_data(tmp_path):
    net, blobs = small_net()
    diffs = {name: [-array for array in arrays] for name, arrays in blobs.items()}
    write_caffemodel(tmp_path / "w", net, blobs, diffs)
    for written, before in zip(pb.NetParameter.FromString((tmp_path / "w").read_bytes()).layer, net.layer):
        for blob, old in zip(written.blobs, before.blobs, strict=True):
            assert (blob.data, blob.shape) == (old.data, old.shape)
            assert list(blob.diff) == [-value for value in old.data]
    assert np.array_equal(read_weights(tmp_path / "w")[1].blobs[0], blobs["conv1"][0])


def test_arrays_of_any_layout_and_type_are_written_as_floats(tmp_path):
    net = pb.NetParameter(name="n", layer=[pb.LayerParameter(name="a", type="Parameter")])
    values = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    arrays = [values, values.astype(np.float32).transpose(2, 1, 0), values[:, ::2], np.float32(5), np.empty((0, 3))]
    write_caffemodel(tmp_path / "w", net, {"a": arrays})
    for written, array in zip(read_weights(tmp_path / "w")[0].blobs, arrays, strict=True):
        assert written.shape == np.shape(array)
        assert np.array_equal(written, array)


def test_blobs_in_the_net_are_replaced_and_the_net_is_left_alone(tmp_path):
    net, _ = small_net()
    before = net.SerializeToString()
    write_caffemodel(tmp_path / "w", net, {"conv1": [np.zeros(3)]})
    written = {found.name: found.blobs for found in read_weights(tmp_path / "w")}
    assert [blob.tolist() for blob in written["conv1"]] == [[0, 0, 0]]
    assert written["ip1"] == []
    assert net.SerializeToString() == before


def test_what_would_be_lost_is_refused(tmp_path):
    net, blobs = small_net()
    with pytest.raises(WeightsError, match="no layer for these blobs: other"):
        write_caffemodel(tmp_path / "w", net, {**blobs, "other": [np.zeros(1)]})
    with pytest.raises(WeightsError, match="layer 'ip1': The shapes of diffs and blobs differ"):
        write_caffemodel(tmp_path / "w", net, blobs, {"ip1": [np.zeros((10, 12))]})
    with pytest.raises(WeightsError, match="layer 'ip1': A blob is left out"):
        write_caffemodel(tmp_path / "w", net, {"ip1": [None, np.zeros(10)]})
    with pytest.raises(WeightsError, match="V1"):
        write_caffemodel(tmp_path / "w", pb.NetParameter(layers=[pb.V1LayerParameter()]), {})
    assert list(tmp_path.iterdir()) == []
