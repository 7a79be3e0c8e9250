"""PyTorch source: the same numbers as the net and as real Caffe, on its own, readable and well formatted."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from caffe_port.convert.plan import plan_export
from caffe_port.convert.python_text import Brackets, Names, class_name, layout, quoted
from caffe_port.convert.torch_layers import EMITTERS
from caffe_port.convert.torch_source import write_torch_source
from caffe_port.errors import CaffeError, LayerError
from tests.convert.exports import (
    CASES,
    MODEL_NAMES,
    alexnet,
    assert_close,
    blobs,
    case,
    model,
    random_inputs,
    recorded_inputs,
)
from tests.net.make import build, conv, inputs, ip, layer
from tests.shared import MODELS, needs

#: Of the largest value.
TOLERANCE = 1e-6
#: Real Caffe rounds differently from machine to machine; see tests/reference/compare.py.
REAL_TOLERANCE = 2e-5


def load(folder):
    """The exported module, its file run in this process."""
    spec = importlib.util.spec_from_file_location("exported", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


def run(net, module, values):
    """The outputs of the module exported from ``net``, by blob name."""
    plan = plan_export(net, EMITTERS)
    with torch.no_grad():
        result = module(*(values[name] for name in plan.inputs))
    return result if isinstance(result, dict) else dict.fromkeys(plan.outputs, result)


def assert_same(net, module, values, recorded=None):
    """``module`` computes what ``net`` computes, and what real Caffe recorded."""
    if recorded is not None:
        for name, value in run(net, module, values).items():
            assert_close(value, recorded[f"blob/{name}"], REAL_TOLERANCE, name)
    wanted = blobs(net, values)
    for name, value in run(net, module, values).items():
        assert_close(value, wanted[name], TOLERANCE, name)


def export(text, folder, **options):
    net = build(text, **options)
    write_torch_source(net, folder)
    return net, load(folder)


# -- the same numbers -------------------------------------------------------------------------------------------------


@needs(MODELS)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_models(name, tmp_path):
    net = model(name)
    converted = write_torch_source(net, tmp_path / "out")
    module = load(tmp_path / "out")
    path = MODELS / name / "reference.npz"
    assert_same(net, module, recorded_inputs(name, net), np.load(path) if path.exists() else None)
    assert_same(net, module, random_inputs(net, 5))
    assert converted.bytes == sum(path.stat().st_size for path in (tmp_path / "out").iterdir() if path.is_file())
    assert converted.parameters == sum(p.numel() for p in module.parameters())


def test_alexnet(tmp_path):
    net = alexnet()
    write_torch_source(net, tmp_path / "out")
    module = load(tmp_path / "out")
    values = random_inputs(net, 2)
    spread = blobs(net, values)["fc8"].std()
    assert spread > 0.1
    assert_same(net, module, values)
    assert "nn.LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)" in (tmp_path / "out" / "model.py").read_text()


@pytest.mark.parametrize("name", CASES)
def test_layers_equal_real_caffe(name, tmp_path):
    net, recorded = case(name)
    write_torch_source(net, tmp_path / "out")
    module = load(tmp_path / "out")
    trained = "batchnorm_train" in name or "batchnorm_2d" in name or "batchnorm_inplace" in name
    values = {key: torch.from_numpy(recorded[f"input/{key}"]) for key in net.inputs}
    assert_same(net, module, values, None if trained else recorded)
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(module.state_dict())


@needs(MODELS)
@pytest.mark.parametrize("name", ["mtcnn_pnet", "waifu2x_upconv7", "vdsr"])
def test_other_image_sizes(name, tmp_path):
    net = model(name)
    write_torch_source(net, tmp_path / "out")
    shapes = {key: (2, shape[1], 37, 44) for key, shape in net.blob_shapes.items() if key in net.inputs}
    assert_same(net, load(tmp_path / "out"), {key: torch.randn(shape) for key, shape in shapes.items()})


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_size: 1 stride: 2",
        "kernel_size: 2 stride: 3",
        "kernel_size: 3 stride: 2 pad: 2",
        "kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 3",
        "kernel_size: 3 stride: 2 pad: 1",
        "kernel_size: 2 stride: 3 round_mode: FLOOR",
    ],
)
def test_pooling_windows_for_every_image_size(method, window, tmp_path):
    text = layer("Pooling", "p", "data", "p", f"pooling_param {{ pool: {method} {window} }}")
    net, module = export(inputs(data=(2, 3, 8, 8)) + text, tmp_path / "out")
    for height, width in ((8, 8), (7, 9), (10, 5), (6, 11)):
        assert_same(net, module, {"data": torch.randn(2, 3, height, width)})


def test_every_batch_norm_and_scale_form(tmp_path):
    net = build(
        inputs(data=(2, 3, 4, 4), flat=(2, 3))
        + layer("BatchNorm", "bn", "data", "a")
        + layer("Scale", "scale", "a", "a", "scale_param { bias_term: true filler { type: 'gaussian' std: 1 } }")
        + layer("Scale", "gate", "a flat", "b", "scale_param { axis: 0 }")
        + layer("BatchNorm", "bn_flat", "flat", "c")
    )
    for name, factor in (("bn", 0.5), ("bn_flat", 0.0)):
        for blob, value in zip(net.layer(name).blobs, (torch.randn(3), torch.rand(3), torch.tensor([factor]))):
            blob.data.copy_(value)
    write_torch_source(net, tmp_path / "out")
    assert_same(net, load(tmp_path / "out"), {"data": torch.randn(4, 3, 4, 4), "flat": torch.randn(4, 3)})


# -- the module -------------------------------------------------------------------------------------------------------


def test_stands_alone(tmp_path):
    """In a process without caffe_port, from another folder: load() and one call."""
    net = build(inputs(data=(2, 3, 8, 8)) + conv("c", "data", "c") + ip("score", "c", "score"))
    write_torch_source(net, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    script = f"""
import sys
sys.modules["caffe_port"] = None
sys.path.insert(0, {str(tmp_path / "out")!r})
from model import load
import torch
print(load()(torch.ones(1, 3, 8, 8)).tolist())
"""
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True)
    wanted = blobs(net, {"data": torch.ones(1, 3, 8, 8)})["score"]
    assert_close(ast.literal_eval(done.stdout), wanted, REAL_TOLERANCE, "score")


def test_reads_like_a_hand_written_module(tmp_path):
    export(
        'name: "tiny-net"\n'
        + inputs(data=(2, 4, 8, 8))
        + conv("conv/1", "data", "conv/1", 4, 3, more="pad: 1 group: 2")
        + layer("ReLU", "relu1", "conv/1", "conv/1")
        + layer("Pooling", "pool1", "conv/1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
        + layer("Dropout", "drop", "pool1", "pool1", "dropout_param { dropout_ratio: 0.4 }")
        + ip("score", "pool1", "score")
        + ip("other", "pool1", "other"),
        tmp_path / "out",
    )
    text = (tmp_path / "out" / "model.py").read_text()
    assert (
        text[text.index("class TinyNet") : text.index("\n\n\ndef load")]
        == '''class TinyNet(nn.Module):
    """tiny-net, a Caffe net."""

    def __init__(self) -> None:
        super().__init__()
        # conv/1
        self.conv_1 = Conv2d(4, 4, kernel_size=3, padding=1, groups=2)
        self.drop = nn.Dropout(0.4)
        self.score = nn.Linear(64, 3)
        self.other = nn.Linear(64, 3)

    def forward(self, data: Tensor) -> dict[str, Tensor]:
        conv_1 = self.conv_1(data)
        conv_1 = F.relu(conv_1)
        pool1 = F.max_pool2d(conv_1, kernel_size=3, stride=2, ceil_mode=True)
        pool1 = self.drop(pool1)
        score = self.score(pool1.flatten(1))
        other = self.other(pool1.flatten(1))
        return {"other": other, "score": score}'''
    )


def test_is_formatted_as_ruff_formats(tmp_path):
    long = [f"inception_{i}a_with_a_rather_long_name" for i in range(7)]
    text = inputs(**dict.fromkeys(long, (2, 3, 4, 4)))
    text += layer("Concat", "join", " ".join(long), "joined")
    text += layer("Eltwise", "sum", " ".join(long), "sum", "eltwise_param { " + "coeff: -0.123456 " * 7 + "}")
    text += layer("Slice", "cut", "joined", " ".join(f"a_slice_with_a_long_name_{i}" for i in range(7)))
    text += layer("Power", "power", "sum", "power", "power_param { scale: 2 shift: -1 power: 2 }")
    text += layer("Power", "square", "power", "square", "power_param { power: 2 }")
    text += layer("LRN", "lrn", "square", "lrn", "lrn_param { norm_region: WITHIN_CHANNEL }")
    text += layer("ArgMax", "best", "lrn", "best", "argmax_param { axis: 1 out_max_val: true }")
    net, module = export(text, tmp_path / "long")
    assert_same(net, module, random_inputs(net))
    for name in ("pooling_max_0", "mvn_1", "scale_4", "crop_0", "parameter_0", "reshape_1"):
        write_torch_source(case(name)[0], tmp_path / name)
    settings = ["--isolated", "--line-length", "120", str(tmp_path)]
    for command in (["format", "--check"], ["check", "--select", "E,F,I"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *settings], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_odd_names_become_identifiers(tmp_path):
    odd = ["class", "3x3", "conv1/bn", "forward", "training", "self", "F", "load", 'a"""b', "x\\nimport os", "ä", "-"]
    text = inputs(data=(2, 3))
    for index, name in enumerate(odd):
        escaped = name.replace('"', '\\"')
        bottom = odd[index - 1].replace('"', '\\"') if index else "data"
        text += f'layer {{ name: "{escaped}" type: "InnerProduct" bottom: "{bottom}" top: "{escaped}" '
        text += 'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'
    net, module = export('name: "torch"' + text, tmp_path / "out")
    assert_same(net, module, {"data": torch.randn(2, 3)})
    tree = ast.parse((tmp_path / "out" / "model.py").read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert "os" not in imported


def test_shared_layers_are_one_module_and_shared_blobs_are_tied(tmp_path):
    both = 'param { name: "w" } param { name: "b" }'
    text = inputs(one=(2, 3), two=(2, 3)) + ip("a", "one", "a", 3, both) + ip("b", "two", "b", 3, both)
    text += ip("c", "b", "c", 3, 'param { name: "w" }')
    net, module = export(text, tmp_path / "out")
    assert [name for name, _ in module.named_children()] == ["a", "c"]
    assert module.c.weight is module.a.weight
    assert module.c.bias is not module.a.bias
    assert_same(net, module, random_inputs(net, 4))


def test_dropout_works_in_training(tmp_path):
    _, module = export(inputs(data=(2, 50)) + layer("Dropout", "drop", "data", "drop"), tmp_path / "out")
    ones = torch.ones(2, 50)
    assert torch.equal(module(ones), ones)
    assert sorted(set(module.train()(ones).flatten().tolist())) == [0.0, 2.0]


def test_blobs_named_like_functions_of_the_file(tmp_path):
    text = inputs(torch=(2, 2, 6, 6), nn=(2, 2, 4, 4))
    text += layer("Crop", "crop", "torch nn", "crop", "crop_param { offset: 1 }")
    text += layer("ArgMax", "arg_max", "crop", "arg_max", "argmax_param { axis: 1 }")
    net, module = export('name: "Affine"' + text, tmp_path / "out")
    assert_same(net, module, random_inputs(net))


def test_layers_that_compute_nothing_leave_no_trace(tmp_path):
    text = inputs(data=(2, 3, 4, 5)) + layer("Flatten", "same", "data", "a", "flatten_param { axis: 2 end_axis: 2 }")
    text += layer("Flatten", "insert", "a", "b", "flatten_param { axis: 1 end_axis: 0 }")
    text += layer("Slice", "whole", "b", "c") + layer("Concat", "alone", "c", "d") + layer("Split", "s", "d", "e f")
    net, module = export(text, tmp_path / "out")
    assert_same(net, module, random_inputs(net, 4))
    body = (tmp_path / "out" / "model.py").read_text().partition("-> dict[str, Tensor]:")[2]
    assert body.split("\n")[1:3] == ["        b = data.unsqueeze(1)", '        return {"e": b, "f": b}']


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_nothing_is_written_when_a_layer_is_refused(tmp_path):
    text = inputs(data=(2, 3, 8, 8)) + layer("SPP", "pyramid", "data", "y", "spp_param { pyramid_height: 2 }")
    with pytest.raises(LayerError, match="pyramid"):
        write_torch_source(build(text), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_window_that_torch_lacks_is_refused(tmp_path):
    floor = "pooling_param { kernel_size: 3 stride: 2 pad: 2 round_mode: FLOOR }"
    with pytest.raises(LayerError, match=r"layer 'p' \(Pooling\): has round_mode FLOOR"):
        write_torch_source(build(inputs(data=(2, 3, 8, 8)) + layer("Pooling", "p", "data", "p", floor)), tmp_path / "x")


def test_an_earlier_export_is_replaced(tmp_path):
    export(inputs(data=(2, 3)) + ip("a", "data", "a"), tmp_path / "out")
    _, module = export(inputs(data=(2, 3)) + ip("b", "data", "b", 7), tmp_path / "out")
    assert module(torch.ones(1, 3)).shape == (1, 7)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(CaffeError, match=r"safetensors, which is not installed.*caffe_port\[convert\]"):
        write_torch_source(build(inputs(data=(2, 3)) + ip("a", "data", "a")), tmp_path / "out")


# -- the text ---------------------------------------------------------------------------------------------------------


def test_layout_breaks_lines_only_where_needed():
    assert layout("x = ", Brackets("f(", ["a", "b"])) == ["x = f(a, b)"]
    half, most = "a" * 60, "b" * 100
    assert layout("x = ", Brackets("f(", [half, half[:51]])) == [f"x = f({half}, {half[:51]})"]
    assert layout("x = ", Brackets("f(", [half, half[:52]])) == ["x = f(", f"    {half}, {half[:52]}", ")"]
    assert layout("x = ", Brackets("f(", [half, most])) == ["x = f(", f"    {half},", f"    {most},", ")"]


def test_names_differ():
    names = Names(["torch"], "layer")
    assert [names.fresh(text) for text in ("a/b", "a.b", "torch", "1", "", "is")] == [
        "a_b", "a_b_2", "torch_2", "layer_1", "layer", "layer_is",
    ]  # fmt: skip
    assert [class_name(text) for text in ("bvlc-alexnet", "GoogleNet", "3d net", "", "None")] == [
        "BvlcAlexnet", "GoogleNet", "Net3dNet", "Net", "NetNone",
    ]  # fmt: skip
    assert [quoted(text) for text in ("a", 'a"b', "a\nb")] == ['"a"', "'a\"b'", r'"a\nb"']
