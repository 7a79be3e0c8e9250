"""``caffe-port upgrade`` against what Caffe's tools wrote."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from caffe_port.cli.upgrade import upgrade
from caffe_port.proto.files import read_net
from caffe_port.proto.schema import pb
from caffe_port.proto.text import parse_text
from tests.shared import ORACLE

UPGRADE = ORACLE / "upgrade"


def run(*arguments):
    return CliRunner().invoke(upgrade, [str(argument) for argument in arguments])


@pytest.mark.parametrize("old", ["chain.v0", "all_types.v1", "inputs.v2old", "solver.old"])
def test_text(old, tmp_path):
    result = run(UPGRADE / f"{old}.prototxt", tmp_path / "new.prototxt")
    assert result.exit_code == 0, result.output
    expected = UPGRADE / f"{old.split('.')[0]}.upgraded.prototxt"
    assert (tmp_path / "new.prototxt").read_text() == expected.read_text()
    assert f"{'solver' if 'solver' in old else 'net'} upgraded to" in result.output


def test_an_upgraded_file_says_so(tmp_path):
    result = run(UPGRADE / "chain.upgraded.prototxt", tmp_path / "new.prototxt")
    assert "already in the current form" in result.output
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
def test_form_of_the_output(name, options, is_binary, tmp_path):
    source = UPGRADE / "inputs.v2old.prototxt"
    assert run(source, tmp_path / name, *options).exit_code == 0
    data = (tmp_path / name).read_bytes()
    expected = parse_text((UPGRADE / "inputs.upgraded.prototxt").read_bytes(), pb.NetParameter)
    assert (pb.NetParameter.FromString(data) if is_binary else parse_text(data, pb.NetParameter)) == expected


def test_a_binary_stays_binary_in_place(tmp_path):
    old = parse_text((UPGRADE / "all_types.v1.prototxt").read_bytes(), pb.NetParameter)
    (tmp_path / "weights").write_bytes(old.SerializeToString())
    assert run(tmp_path / "weights", tmp_path / "weights").exit_code == 0
    assert pb.NetParameter.FromString((tmp_path / "weights").read_bytes()) == read_net(
        UPGRADE / "all_types.v1.prototxt"
    )


def test_unknown_fields(tmp_path):
    (tmp_path / "in").write_text("layer { name: 'p' permute_param { order: 0 } }")
    refused = run(tmp_path / "in", tmp_path / "out")
    assert refused.exit_code == 1
    assert "in:1:19" in refused.output
    assert "permute_param" in refused.output
    assert not (tmp_path / "out").exists()
    allowed = run("--allow-unknown", tmp_path / "in", tmp_path / "out")
    assert allowed.exit_code == 0
    assert "Warning: " in allowed.output
    assert (tmp_path / "out").read_text() == 'layer {\n  name: "p"\n}\n'


def test_errors_and_help(tmp_path):
    missing = run(tmp_path / "absent", tmp_path / "out")
    assert missing.exit_code == 1
    assert "No such file" in missing.output
    assert run(tmp_path / "absent").exit_code == 2
    assert "Example: caffe-port upgrade" in run("--help").output
