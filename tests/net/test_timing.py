"""The times of layers, with layers whose time is known."""

from __future__ import annotations

import time

import pytest

from caffe_port.net.timing import time_net
from tests.net.make import build, inputs, ip, layer

NET = (
    inputs(x=(2, 3), y=(2, 2))
    + ip("ip", "x", "a", 2)
    + layer("TanH", "slow", "a", "b")
    + layer("EuclideanLoss", "loss", "b y", "loss")
)
SECONDS = 0.02


@pytest.fixture
def slow():
    """The net, with a layer that sleeps 20 ms forward and 40 ms backward, and its calls so far."""
    net = build(NET, phase="TRAIN")
    calls = []

    def before(*_):
        calls.append("forward")
        time.sleep(SECONDS)

    def backward(*_):
        calls.append("backward")
        time.sleep(2 * SECONDS)

    net.layer("slow").register_forward_pre_hook(before)
    net.layer("slow").register_full_backward_hook(backward)
    return net, calls


def test_means_in_milliseconds(slow):
    net, _ = slow
    timing = time_net(net, 3)
    assert [time.name for time in timing.layers] == [node.name for node in net.nodes]
    times = {time.name: time for time in timing.layers}
    assert 20 <= times["slow"].forward < 1000
    assert 40 <= times["slow"].backward < 1000
    assert 0 < times["ip"].forward < times["slow"].forward
    assert 0 < times["ip"].backward < times["slow"].backward
    assert sum(time.forward for time in timing.layers) <= timing.forward
    assert sum(time.backward for time in timing.layers) <= timing.backward
    assert 3 * (timing.forward + timing.backward) <= timing.total


def test_a_pass_to_warm_up_is_not_counted(slow, caplog):
    net, calls = slow
    caplog.set_level("INFO", logger="caffe_port")
    timing = time_net(net, 2)
    assert calls == ["forward", "backward"] * 3
    assert timing.iterations == 2
    assert 120 <= timing.total < 2000
    texts = [record.getMessage() for record in caplog.records if record.filename == "timing.py"]
    assert [text.split(":")[0] for text in texts] == [
        "Performing Forward", "Initial loss", "Performing Backward", "*** Benchmark begins ***",
        "Testing for 2 iterations.", "Iteration", "Iteration",
    ]  # fmt: skip
    assert texts[5].startswith("Iteration: 1 forward-backward time: ")


def test_inputs_are_zero(caplog):
    """E = |b - y|^2 / 4 with b = tanh of the bias and y = 0."""
    net = build(NET, phase="TRAIN")
    caplog.set_level("INFO", logger="caffe_port")
    time_net(net, 1)
    bias = net.layer("ip").blobs[1].detach()
    (text,) = (record.getMessage() for record in caplog.records if "Initial loss" in record.getMessage())
    assert float(text.split()[-1]) == pytest.approx(float(bias.tanh().square().sum() * 2 / 4), rel=1e-5)


def test_a_net_without_backward():
    timing = time_net(build(inputs(x=(2, 3)) + layer("TanH", "t", "x", "y")), 2)
    assert timing.layers[1].forward > 0
    assert timing.layers[1].backward < 1
