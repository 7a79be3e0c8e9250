"""``caffe-port upgrade`` against what Caffe's tools wrote."""

from __future__ import annotations

import pytest

from caffe_port.proto.files import read_net
from caffe_port.proto.schema import pb
from caffe_port.proto.text import parse_text
from tests.cli.process import Here, error_line
from tests.proto.encoder import integer, message, string
from tests.shared import ORACLE

UPGRADE = ORACLE / "upgrade"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    here = Here(monkeypatch, capsys)
    return lambda *args: here("upgrade", *args, cwd=tmp_path)


@pytest.mark.parametrize("old", ["chain.v0", "all_types.v1", "inputs.v2old", "solver.old"])
def test_text(run, old, tmp_path):
    result = run(UPGRADE / f"{old}.prototxt", tmp_path / "new.prototxt")
    assert result.returncode == 0, result.stderr
    expected = UPGRADE / f"{old.split('.')[0]}.upgraded.prototxt"
    assert (tmp_path / "new.prototxt").read_text() == expected.read_text()
    assert f"{'solver' if 'solver' in old else 'net'} upgraded to" in result.stdout


def test_an_upgraded_file_says_so(run, tmp_path):
    result = run(UPGRADE / "chain.upgraded.prototxt", tmp_path / "new.prototxt")
    assert "already in the current form" in result.stdout
    assert (tmp_path / "new.prototxt").read_bytes() == (UPGRADE / "chain.upgraded.prototxt").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "is_binary"),
    [
        ("o.caffemodel", [], True),
        ("o.binaryproto", [], True),
        ("o.prototxt", [], False),
        ("o.prototxt", ["--to", "binary"], True),
        ("o.caffemodel", ["--to", "text"], False),
        ("o", [], False),
    ],
)
def test_form_of_the_output(run, name, options, is_binary, tmp_path):
    source = UPGRADE / "inputs.v2old.prototxt"
    assert run(source, tmp_path / name, *options).returncode == 0
    data = (tmp_path / name).read_bytes()
    expected = parse_text((UPGRADE / "inputs.upgraded.prototxt").read_bytes(), pb.NetParameter)
    assert (pb.NetParameter.FromString(data) if is_binary else parse_text(data, pb.NetParameter)) == expected


def test_a_binary_stays_binary_in_place(run, tmp_path):
    old = parse_text((UPGRADE / "all_types.v1.prototxt").read_bytes(), pb.NetParameter)
    (tmp_path / "weights").write_bytes(old.SerializeToString())
    assert run(tmp_path / "weights", tmp_path / "weights").returncode == 0
    assert pb.NetParameter.FromString((tmp_path / "weights").read_bytes()) == read_net(
        UPGRADE / "all_types.v1.prototxt"
    )


def test_unknown_fields(run, tmp_path):
    (tmp_path / "in").write_text("layer { name: 'p' permute_param { order: 0 } }")
    refused = run(tmp_path / "in", tmp_path / "out")
    assert error_line(refused).startswith(f"{tmp_path}/in:1:19")
    assert "permute_param" in error_line(refused)
    assert not (tmp_path / "out").exists()
    allowed = run("--allow-unknown", tmp_path / "in", tmp_path / "out")
    assert allowed.returncode == 0
    assert allowed.stderr.startswith(f"caffe-port: warning: {tmp_path}/in:1:19")
    assert (tmp_path / "out").read_text() == 'layer {\n  name: "p"\n}\n'


def test_the_dialect_of_a_binary_net(run, tmp_path):
    """151 is NVIDIA's number of recurrent_param, and Intel's of another field."""
    path, out = tmp_path / "in.caffemodel", tmp_path / "out.prototxt"
    path.write_bytes(message(100, string(1, "r"), string(2, "RNN"), message(151, integer(1, 3))))
    assert "--dialect nvidia or --dialect intel" in error_line(run(path, out))
    assert run(path, out, "--dialect", "nvidia").returncode == 0
    assert read_net(out).layer[0].recurrent_param.num_output == 3
    assert "mn_activation_param of Intel Caffe" in error_line(run(path, out, "--dialect", "intel"))


def test_errors_and_help(run, tmp_path):
    assert "absent: Cannot be read: No such file" in error_line(run("absent", "out"))
    assert run(tmp_path / "absent").returncode == 2
    assert "Example: caffe-port upgrade" in run("--help").stdout
