"""Reading nets and solvers whatever their form, and refusing everything else."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caffe_port.errors import CaffeWarning, FormatError, UnknownFieldError
from caffe_port.proto.files import is_text, read_message, read_net, read_solver, write_binary, write_text
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_text, parse_text
from tests.shared import MODELS, ORACLE, needs

V1 = ORACLE / "upgrade" / "all_types.v1.prototxt"
SOLVERS = ORACLE / "solvers"


def unknown(*fields):
    """Wire bytes of varint fields (number, value)."""
    data = b""
    for number, value in fields:
        key = number << 3
        data += bytes([key & 0x7F | 0x80, key >> 7, value]) if key > 0x7F else bytes([key, value])
    return data


def inside_layer(data):
    """A binary net of one layer 'c' that ends with ``data``."""
    layer = pb.LayerParameter(name="c").SerializeToString() + data
    return b"\xa2\x06" + bytes([len(layer)]) + layer


@pytest.fixture
def file(tmp_path):
    def make(data, name="file"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


class TestRead:
    def test_text_is_upgraded(self):
        net = read_net(V1)
        assert format_text(net) == V1.with_name("all_types.upgraded.prototxt").read_text()

    def test_binary_is_upgraded(self, file):
        old = parse_text(V1.read_bytes(), pb.NetParameter)
        assert read_net(file(old.SerializeToString())) == read_net(V1)

    def test_a_net_with_weights(self):
        net = read_net(SOLVERS / "adam" / "init.caffemodel")
        expected = np.load(SOLVERS / "adam" / "expected.npz")
        blobs = {(layer.name, str(index)): blob for layer in net.layer for index, blob in enumerate(layer.blobs)}
        assert len(blobs) == sum(name.startswith("init/") for name in expected.files)
        for (layer, index), blob in blobs.items():
            np.testing.assert_array_equal(np.array(blob.data, np.float32), expected[f"init/{layer}/{index}"].ravel())

    def test_solver(self, file):
        solver = read_solver(SOLVERS / "sgd_legacy_enum" / "solver.prototxt")
        assert not solver.HasField("solver_type")
        assert solver.type
        path = file(b"base_lr: 1", "my.prototxt")
        assert read_solver(path).snapshot_prefix == str(path.with_suffix(""))

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"layer { name: 'base_lr' }", "net"),
            (b"name: 'n'", "net"),
            (b"# only this\n", "net"),
            (b"debug_info: true", "net"),
            (b"net: 'n.prototxt' base_lr: 1", "solver"),
            (b"net_param { layer {} } debug_info: true", "solver"),
            (pb.NetParameter(name="n", layer=[pb.LayerParameter(name="l")]).SerializeToString(), "net"),
        ],
    )
    def test_kind_by_content(self, file, data, kind):
        found, message = read_message(file(data))
        assert found == kind
        assert isinstance(message, pb.NetParameter if kind == "net" else pb.SolverParameter)

    def test_message_is_not_upgraded(self):
        assert read_message(V1)[1].layers


class TestTextOrBinary:
    @pytest.mark.parametrize(
        "head",
        [
            b"name: 'n'",
            b"layer{",
            b"# \x00\x01 nothing but a comment\nname: 'n'",
            "# 网络\nname: 'n'".encode("gbk"),
            "name: 'n'".encode("utf-16"),
            b"\xef\xbb\xbfname: 'n'",
            b"\n\n\t name\n:\x00",
            b"%%% garbage",
        ],
    )
    def test_text(self, head):
        assert is_text(head)

    def test_binary(self):
        paths = sorted(SOLVERS.glob("*/*.caffemodel")) + sorted(SOLVERS.glob("*/*.solverstate"))
        assert len(paths) > 20
        for path in paths:
            assert not is_text(path.read_bytes()[:4096]), path

    @pytest.mark.parametrize("length", [*range(1, 60), 300])
    def test_binary_with_any_name(self, length):
        """The key 0x0a and a length like 0x0d or 0x20 look like white space, the name like an identifier."""
        assert not is_text(pb.NetParameter(name="n" * length, layer=[pb.LayerParameter(name="c")]).SerializeToString())

    @needs(MODELS)
    def test_real_weights(self):
        for path in MODELS.glob("*/*.caffemodel"):
            with path.open("rb") as file:
                assert not is_text(file.read(4096)), path


class TestRefused:
    def refusal(self, path, kind=FormatError, read=read_net):
        with pytest.raises(kind) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        return str(caught.value)

    def test_paths(self, tmp_path, file):
        assert "No such file" in self.refusal(tmp_path / "absent.prototxt")
        assert "folder" in self.refusal(tmp_path)
        assert "empty" in self.refusal(file(b""))
        assert "No such file" in self.refusal(tmp_path / "absent.prototxt", read=read_solver)
        assert "No such file" in self.refusal(tmp_path / "absent.prototxt", read=read_message)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_permission(self, file):
        path = file(b"name: 'n'")
        path.chmod(0)
        assert "Permission denied" in self.refusal(path)

    @pytest.mark.parametrize(
        ("data", "cause"),
        [
            (b"\x89HDF\r\n\x1a\n\0\0\0", "an HDF5 file"),
            (b"PK\x03\x04\0\0", "a zip archive"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
            (b"<!DOCTYPE html>\n<html>", "HTML"),
            (b"\x0a\x05le", "not a net"),
            (b"\xff" * 50 + b"\0", "not a net"),
        ],
    )
    def test_contents(self, file, data, cause):
        assert cause in self.refusal(file(data))
        assert cause in self.refusal(file(data), read=read_message)

    def test_truncated(self, file):
        data = (SOLVERS / "adam" / "init.caffemodel").read_bytes()
        assert "cut off" in self.refusal(file(data[:-3]))

    def test_a_solver_as_a_net(self):
        message = self.refusal(SOLVERS / "adam" / "solver.prototxt", UnknownFieldError)
        assert "this looks like a solver" in message

    def test_other_binaries(self, file):
        mean = pb.BlobProto(num=1, channels=1, height=1, width=1, data=[0])
        assert "a mean file" in self.refusal(file(mean.SerializeToString()), UnknownFieldError)
        self.refusal(SOLVERS / "adam" / "snap_iter_10.solverstate")


class TestUnknownInBinary:
    def test_a_forks_field(self, file):
        path = file(inside_layer(b"\xd2\x0c\x00"))  # number 202, a message
        with pytest.raises(
            UnknownFieldError, match=r"layer 'c'.*number 202 in LayerParameter is permute_param of NVIDIA"
        ):
            read_net(path)
        with pytest.warns(CaffeWarning, match="permute_param"):
            net = read_net(path, unknown="warn")
        assert net.SerializeToString() == pb.NetParameter(layer=[pb.LayerParameter(name="c")]).SerializeToString()

    def test_a_number_nobody_has(self, file):
        with pytest.raises(UnknownFieldError, match="unknown field number 99 in LayerParameter"):
            read_net(file(inside_layer(unknown((99, 1)))))

    def test_harmless(self, file):
        """NVIDIA's forward_math is number 147, BVLC's swish_param; but a varint cannot be that message."""
        with pytest.warns(CaffeWarning, match="do not change results") as caught:
            net = read_net(file(inside_layer(unknown((147, 1), (149, 1), (150, 1)))))
        assert len(caught) == 1
        assert "LayerParameter.forward_math, LayerParameter.debug, LayerParameter.cudnn" in str(caught[0].message)
        assert net == pb.NetParameter(layer=[pb.LayerParameter(name="c")])

    def test_nvidias_raw_weights_cannot_be_upgraded(self, file):
        blob = b"\x3a\x04\x50\x02\x58\x02"  # a BlobProto with numbers 10 and 11
        with pytest.raises(UnknownFieldError, match=r"raw_data_type of NVIDIA Caffe.*can be loaded into a net"):
            read_net(file(inside_layer(blob)))

    def test_strings_that_are_not_utf8(self, file):
        with pytest.warns(CaffeWarning, match="is not UTF-8") as caught:
            net = read_net(file(b"\x0a\x02\xe9a\xa2\x06\x07\x0a\x01c\x1a\x02\xe9b"))
        assert ["'name'" in str(one.message) for one in caught] == [True, False]
        assert net.name == "éa"
        assert net.layer[0].bottom == ["éb"]


class TestWrite:
    def test_round_trips(self, tmp_path):
        net = read_net(V1)
        write_text(net, tmp_path / "t")
        write_binary(net, tmp_path / "b")
        assert (tmp_path / "t").read_text() == V1.with_name("all_types.upgraded.prototxt").read_text()
        assert read_net(tmp_path / "t") == read_net(tmp_path / "b") == net

    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        (tmp_path / "b").write_bytes(b"old")
        incomplete = pb.NetParameter()
        incomplete.layer.add().clip_param.min = 0
        with pytest.raises(FormatError, match=r"cannot be written as binary.*max"):
            write_binary(incomplete, tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"old"

    def test_no_folder(self, tmp_path):
        with pytest.raises(FormatError, match="cannot be written: No such file"):
            write_text(pb.NetParameter(), tmp_path / "no" / "t")
