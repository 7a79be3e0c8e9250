"""``caffe-port convert``: its one line, its flags, its errors."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from caffe_port.cli.convert import convert
from caffe_port.errors import FormatError, WeightsError
from caffe_port.proto import pb
from caffe_port.proto.files import write_text
from tests.cli.process import caffe_port
from tests.net.make import build, inputs, ip, layer, parse
from tests.proto.encoder import integer, message, string

TEXT = 'name: "n"' + inputs(x=(2, 4)) + ip("ip", "x", "y", 3) + layer("ReLU", "r", "y", "y")


@pytest.fixture
def weights(tmp_path):
    build(TEXT).save(tmp_path / "w.caffemodel")
    write_text(parse(TEXT), tmp_path / "net.prototxt")
    return tmp_path / "w.caffemodel"


def run(*arguments):
    result = CliRunner().invoke(convert, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_one_line_says_what_was_converted(weights, tmp_path):
    target = tmp_path / "m.npz"
    result = run(weights, target)
    size = target.stat().st_size
    assert result.output == (
        f"{weights}: 1 layer, 15 parameters converted to {target} ({size:,} bytes); left out: x, r.\n"
    )
    assert set(np.load(target)) == {"ip.weight", "ip.bias"}
    assert run(target, tmp_path / "back.caffemodel").output.endswith(" bytes).\n")


def test_with_the_net_and_phase(weights, tmp_path):
    run(weights, tmp_path / "m.npz")
    for phase in ("TRAIN", "test"):
        run(tmp_path / "m.npz", tmp_path / "n.caffemodel", "--net", tmp_path / "net.prototxt", "--phase", phase)
        stored = pb.NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
        assert [(one.type, one.phase == pb.TRAIN) for one in stored.layer] == [
            (kind, phase == "TRAIN") for kind in ("Input", "InnerProduct", "ReLU")
        ]


def test_dialect_and_unknown_fields(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(message(100, string(1, "r"), string(2, "RNN"), message(151, integer(1, 3))))
    with pytest.raises(FormatError, match="--dialect nvidia or --dialect intel"):
        run(path, tmp_path / "m.caffemodel")
    run(path, tmp_path / "m.caffemodel", "--dialect", "nvidia")
    stored = pb.NetParameter.FromString((tmp_path / "m.caffemodel").read_bytes())
    assert stored.layer[0].recurrent_param.num_output == 3
    with pytest.warns(match="mn_activation_param of Intel Caffe"):
        run(path, tmp_path / "m.caffemodel", "--dialect", "intel", "--allow-unknown")
    assert run(path, tmp_path / "m.caffemodel", "--dialect", "other").exit_code == 2


def test_a_folder_is_source(weights, tmp_path):
    pytest.importorskip("safetensors")
    result = run(weights, f"{tmp_path}/made.by.us/", "--net", tmp_path / "net.prototxt")
    assert (tmp_path / "made.by.us" / "model.py").is_file()
    assert "15 parameters" in result.output
    with pytest.raises(FormatError, match="--net"):
        run(weights, f"{tmp_path}/another/")


def test_errors(weights, tmp_path):
    with pytest.raises(FormatError, match=r"'\.txt' tells no known format"):
        run(weights, tmp_path / "m.txt")
    np.savez(tmp_path / "m.npz", **{"bn.running_mean": np.zeros(2, np.float32)})
    with pytest.raises(WeightsError, match="running_mean"):
        run(tmp_path / "m.npz", tmp_path / "m.caffemodel")
    assert not (tmp_path / "m.caffemodel").exists()


def test_an_error_is_one_line_of_the_program(tmp_path):
    done = caffe_port("convert", "absent.npz", "m.caffemodel", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "caffe-port: error: absent.npz: Cannot be read: No such file or directory.\n"
