"""Prototxts to draw: a net of inception modules, as large as GoogLeNet."""

from __future__ import annotations

from tests.net.make import conv, inputs, ip, layer

_POOL = "pooling_param { pool: MAX kernel_size: 3 stride: %d %s }"


def _conv_relu(name: str, bottom: str, outputs: int, kernel: int) -> str:
    text = conv(name, bottom, name, outputs, kernel, more=f"pad: {kernel // 2}")
    return text + layer("ReLU", f"{name}_relu", name, name)


def _inception(name: str, bottom: str) -> str:
    """Four branches (Szegedy et al. 2015, Figure 2b): 14 layers."""
    parts = [
        _conv_relu(f"{name}/1x1", bottom, 16, 1),
        _conv_relu(f"{name}/3x3_reduce", bottom, 8, 1),
        _conv_relu(f"{name}/3x3", f"{name}/3x3_reduce", 16, 3),
        _conv_relu(f"{name}/5x5_reduce", bottom, 4, 1),
        _conv_relu(f"{name}/5x5", f"{name}/5x5_reduce", 8, 5),
        layer("Pooling", f"{name}/pool", bottom, f"{name}/pool", _POOL % (1, "pad: 1")),
        _conv_relu(f"{name}/pool_proj", f"{name}/pool", 8, 1),
        layer(
            "Concat", f"{name}/output", " ".join(f"{name}/{end}" for end in ("1x1", "3x3", "5x5", "pool_proj")), name
        ),
    ]
    return "".join(parts)


def inception_net(modules: int = 9) -> str:
    """A stem, ``modules`` inception modules and a classifier: 14 layers, and 14 for each module."""
    text = 'name: "inception"\n' + inputs(data=(2, 3, 64, 64))
    text += _conv_relu("conv1", "data", 8, 7) + layer("Pooling", "pool1", "conv1", "pool1", _POOL % (2, ""))
    text += layer("LRN", "norm1", "pool1", "norm1") + _conv_relu("conv2_reduce", "norm1", 8, 1)
    text += _conv_relu("conv2", "conv2_reduce", 8, 3) + layer("LRN", "norm2", "conv2", "norm2")
    bottom = "norm2"
    for index in range(modules):
        text += _inception(f"inception_{index}", bottom)
        bottom = f"inception_{index}"
    pool = "pooling_param { pool: AVE global_pooling: true }"
    text += layer("Pooling", "pool5", bottom, "pool5", pool) + layer("Dropout", "drop", "pool5", "pool5")
    return text + ip("classifier", "pool5", "classifier", 10) + layer("Softmax", "prob", "classifier", "prob")
