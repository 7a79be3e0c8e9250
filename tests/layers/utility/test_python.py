"""Layers written in Python, in both ways of execution."""

from __future__ import annotations

import gc
import sys
import textwrap

import numpy as np
import pytest
import torch

import caffe_port.pycaffe as caffe
from caffe_port import Net
from caffe_port.errors import LayerError
from caffe_port.solver import Solver
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run
from tests.net.make import build, executor, inputs, ip, layer, random_inputs
from tests.solver.make import solver_param

HERE = __name__


def python(name: str, cls: str, bottoms: str, tops: str, rest: str = "", param_str: str = "", more: str = "") -> str:
    text = f'python_param {{ module: "{HERE}" layer: "{cls}" param_str: "{param_str}" {more} }} {rest}'
    return layer("Python", name, bottoms, tops, text)


class Power(caffe.Layer):
    """top = sum of bottoms to the power param_str."""

    def setup(self, bottom, top):
        self.power = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = sum(b.data**self.power for b in bottom)

    def backward(self, top, propagate_down, bottom):
        for b, flows in zip(bottom, propagate_down):
            if flows:
                b.diff[...] = self.power * b.data ** (self.power - 1) * top[0].diff


class Affine(caffe.Layer):
    """top = scale * bottom + shift: two learnable blobs, whose diffs are added to."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 3

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data * bottom[0].data + self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum()
        self.blobs[1].diff[...] += top[0].diff.sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data * top[0].diff


class Relu(caffe.Layer):
    """Computed in-place: the bottom is the top."""

    def setup(self, bottom, top):
        assert bottom[0] is top[0]

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        np.maximum(bottom[0].data, 0, out=top[0].data)

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff * (top[0].data > 0)


class Count(caffe.Layer):
    """A data layer: its tops are how often it ran and its phase."""

    def setup(self, bottom, top):
        self.runs = 0

    def reshape(self, bottom, top):
        top[0].reshape(2, 1)
        top[1].reshape()

    def forward(self, bottom, top):
        self.runs += 1
        top[0].data[...] = self.runs
        top[1].data[()] = self.phase


class Fails(caffe.Layer):
    def setup(self, bottom, top):
        if self.param_str == "setup":
            raise ZeroDivisionError("in setup")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        if self.param_str == "forward":
            raise ZeroDivisionError("in forward")

    def backward(self, top, propagate_down, bottom):
        raise ZeroDivisionError("in backward")


class Lacking(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(2, 3)


class NoLayer:
    pass


POWER = f'name: "p" type: "Python" python_param {{ module: "{HERE}" layer: "Power" param_str: "3" }}'


@checks("Python", "numeric")
def test_forward():
    x, y = rng(0).standard_normal((2, 2, 3)), rng(1).standard_normal((2, 2, 3))
    made = make_layer(POWER + ' bottom: "x" bottom: "y" top: "z"', (2, 2, 3), (2, 2, 3))
    (top,) = run(made, x, y)
    np.testing.assert_allclose(top, x**3 + y**3, rtol=1e-5)
    (top,) = run(made, x[:1], y[:1])  # another shape, on the way
    np.testing.assert_allclose(top, x[:1] ** 3 + y[:1] ** 3, rtol=1e-5)


@checks("Python", "gradient")
def test_backward():
    x, y, d = rng(0).standard_normal((3, 2, 3))
    made = make_layer(POWER + ' bottom: "x" bottom: "y" top: "z"', (2, 3), (2, 3))
    (only,), _ = gradients(made, [x, y], [d], bottoms=(1,))
    np.testing.assert_allclose(only, 3 * y**2 * d, rtol=1e-5)
    both, _ = gradients(made, [x, y], [d], bottoms=(0, 1))
    np.testing.assert_allclose(both, [3 * x**2 * d, 3 * y**2 * d], rtol=1e-5)
    gradcheck(made, x, y, bottoms=(0, 1), eps=1e-2, atol=1e-2, rtol=1e-2)  # it computes in single precision


@checks("Python", "errors")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"layer 'op' \(Python\): needs module and layer"),
        ('python_param { module: "no_such_module" layer: "A" }', "no Python module 'no_such_module'.*PYTHONPATH"),
        ('python_param { module: "json.none" layer: "A" }', "no Python module 'json.none'"),
        (f'python_param {{ module: "{HERE}" layer: "Absent" }}', "has no class 'Absent'"),
        (f'python_param {{ module: "{HERE}" layer: "NoLayer" }}', "no subclass of caffe.Layer called 'NoLayer'"),
    ],
)
def test_errors(text, message):
    with pytest.raises(LayerError, match=message):
        make_layer(f'type: "Python" {text}', (2, 3))


def test_a_module_that_cannot_import_something_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "broken_layers.py").write_text("import caffe, there_is_no_such_thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_thing"):
        make_layer('type: "Python" python_param { module: "broken_layers" layer: "A" }', (2, 3))


def test_a_module_finds_us_as_caffe(tmp_path, monkeypatch):
    source = """
        import caffe
        from caffe import layers as L, params as P
        from caffe.proto import caffe_pb2
        class Old(caffe.Layer):
            def setup(self, bottom, top):
                self.scale = float(self.param_str_)  # as it was called in 2014
            def reshape(self, bottom, top):
                top[0].reshape(bottom[0].num, bottom[0].channels)
            def forward(self, bottom, top):
                top[0].data[...] = self.scale * bottom[0].data
    """
    (tmp_path / "old_layers.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "caffe", raising=False)
    made = make_layer(
        'type: "Python" top: "y" python_param { module: "old_layers" layer: "Old" param_str: "2" }', (2, 3)
    )
    np.testing.assert_array_equal(run(made, np.ones((2, 3)))[0], np.full((2, 3), 2))


NET = (
    inputs(data=(4, 3), label=(4, 2))
    + ip("ip", "data", "ip", 2)
    + python("relu", "Relu", "ip", "ip")
    + python("affine", "Affine", "ip", "affine")
    + python("power", "Power", "affine ip", "power", param_str="2")
    + layer("EuclideanLoss", "loss", "power label", "loss")
)
#: the same in Caffe's own layers
TWIN = (
    inputs(data=(4, 3), label=(4, 2))
    + ip("ip", "data", "ip", 2)
    + layer("ReLU", "relu", "ip", "ip")
    + layer(
        "Scale", "affine", "ip", "affine", "scale_param { axis: 0 num_axes: 0 bias_term: true filler { value: 3 } }"
    )
    + layer("Power", "p0", "affine", "p0", "power_param { power: 2 }")
    + layer("Power", "p1", "ip", "p1", "power_param { power: 2 }")
    + layer("Eltwise", "power", "p0 p1", "power")
    + layer("EuclideanLoss", "loss", "power label", "loss")
)


def test_a_net_with_them_equals_its_twin_in_both_ways_of_execution():
    net, twin = (build(text, phase="TRAIN") for text in (NET, TWIN))
    values = random_inputs(twin)
    expected, loss = twin.run(values)
    loss.backward()
    blobs, total = net.run(values)
    total.backward()
    for name in ("ip", "affine", "power", "loss"):
        torch.testing.assert_close(blobs[name], expected[name], rtol=1e-5, atol=1e-6)
    for name in ("ip", "affine"):
        for ours, theirs in zip(net.layer(name).blobs, twin.layer(name).blobs):
            torch.testing.assert_close(ours.grad.flatten(), theirs.grad.flatten(), rtol=1e-4, atol=1e-5)
    again = build(NET, phase="TRAIN")
    steps = executor(again, values)
    for _ in range(2):  # gradients add up
        steps.forward()
        steps.backward()
    for name in ("ip", "affine"):
        for ours, theirs in zip(again.layer(name).blobs, twin.layer(name).blobs):
            torch.testing.assert_close(ours.grad.flatten(), 2 * theirs.grad.flatten(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("iter_size", [1, 3])
def test_training_moves_their_blobs_as_those_of_the_twin(iter_size):
    weights = []
    for text in (NET, TWIN):
        solver = Solver(
            solver_param(f"iter_size: {iter_size} momentum: 0.9", text, base_lr=0.01, snapshot_after_train=False)
        )
        values = random_inputs(solver.net)
        solver.feed = lambda net, values=values: values
        solver.step(4)
        weights.append([b.detach().flatten() for name in ("ip", "affine") for b in solver.net.layer(name).blobs])
    for ours, theirs in zip(*weights):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_frozen_blob_stays():
    frozen = NET.replace('name: "affine"', 'name: "affine" param { lr_mult: 0 } param { lr_mult: 0 }')
    solver = Solver(solver_param("", frozen, snapshot_after_train=False))
    solver.feed = lambda net: random_inputs(net)
    solver.step(2)
    assert [b.item() for b in solver.net.layer("affine").blobs] == [3, 0]


def test_weights_are_saved_and_loaded(tmp_path):
    net = build(NET)
    with torch.no_grad():
        net.layer("affine").blobs[1].fill_(7)
    for name in ("w.caffemodel", "w.caffemodel.h5"):
        net.save(tmp_path / name)
        loaded = build(NET, weights=tmp_path / name)
        assert [b.item() for b in loaded.layer("affine").blobs] == [3, 7]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_a_data_layer_and_its_phase(phase):
    text = python("count", "Count", "", "runs phase") + ip("ip", "runs", "ip", 1)
    net = build(text, phase=phase)
    outputs = [net() for _ in range(3)]
    assert [float(o["phase"]) for o in outputs] == [{"TRAIN": caffe.TRAIN, "TEST": caffe.TEST}[phase]] * 3
    assert net.layer("count").user.runs == 3
    blobs, _ = net.run({})
    np.testing.assert_array_equal(blobs["runs"], [[4], [4]])


@pytest.mark.parametrize("where", ["setup", "forward", "backward"])
def test_exceptions_are_passed_through(where, tmp_path):
    text = (
        inputs(data=(2, 3), label=(2, 3))
        + ip("ip", "data", "ip", 3)
        + python("fails", "Fails", "ip", "y", param_str=where)
    )
    (tmp_path / "net.prototxt").write_text(text + layer("EuclideanLoss", "loss", "y label", "loss"))

    def work():
        net = Net(tmp_path / "net.prototxt", phase="TRAIN")
        net.run(random_inputs(net))[1].backward()

    def work_stepwise():
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
        net.forward()
        net.backward()

    for attempt in (work, work_stepwise):
        with pytest.raises(ZeroDivisionError, match=f"in {where}"):
            attempt()


def test_a_method_that_is_missing_is_named():
    text = inputs(data=(2, 3)) + python("lacking", "Lacking", "data", "y")
    net = build(text, phase="TRAIN")
    with pytest.raises(
        LayerError, match=r"layer 'lacking' \(Python\): The class Lacking has no forward\(self, bottom, top\)"
    ):
        net(data=torch.ones(2, 3))


def test_share_in_parallel_is_accepted_and_nothing_is_shared():
    text = inputs(data=(2, 3)) + python("a", "Affine", "data", "y", more="share_in_parallel: true")
    one, other = build(text, phase="TRAIN"), build(text, phase="TRAIN")
    assert one.layer("a").user is not other.layer("a").user
    one.layer("a").user.blobs[0].data[...] = 5
    assert other.layer("a").blobs[0].item() == 3


def test_pycaffe_shows_the_users_own_object(tmp_path):
    """Scripts call methods of their data layers: net.layers[0].set_roidb(...)."""
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    mine = net.layer_dict["affine"]
    assert isinstance(mine, Affine)
    assert (mine.type, mine.phase, len(mine.blobs)) == ("Python", caffe.TRAIN, 2)
    assert net.params["affine"] is mine.blobs
    net.params["affine"][0].data[...] = 10
    net.blobs["data"].data[...] = 1
    net.forward()
    np.testing.assert_allclose(net.blobs["affine"].data, 10 * net.blobs["ip_relu_0_split_0"].data, rtol=1e-6)
    weight = mine.blobs[0].data
    del net, mine
    gc.collect()
    assert weight[0] == 10
