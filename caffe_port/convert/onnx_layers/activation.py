"""The layers that work element by element, Scale and Bias among them."""

from __future__ import annotations

from typing import Any

from caffe_port.convert.onnx_layers.site import EMITTERS, Site
from caffe_port.convert.operands import affine_operands, missing_axes

_SIMPLE = {"Sigmoid": "Sigmoid", "TanH": "Tanh", "AbsVal": "Abs", "BNLL": "Softplus"}


@EMITTERS.register(*_SIMPLE)
def simple(site: Site) -> str:
    """One operator without settings."""
    return site.op(_SIMPLE[site.layer.TYPE], site.x)


@EMITTERS.register("ReLU")
def relu(site: Site) -> str:
    """Relu or LeakyRelu."""
    slope = site.param.relu_param.negative_slope
    return site.op("LeakyRelu", site.x, alpha=slope) if slope else site.op("Relu", site.x)


@EMITTERS.register("PReLU")
def prelu(site: Site) -> str:
    """PRelu; its slopes, one per channel, get axes of 1 to broadcast."""
    slope = site.layer.blobs[0]
    axes = len(site.shapes[0]) - 2 if slope.ndim else 0
    return site.op("PRelu", site.x, site.weight("slope", slope.reshape(-1, *[1] * axes)))


@EMITTERS.register("ELU")
def elu(site: Site) -> str:
    """Elu."""
    return site.op("Elu", site.x, alpha=site.param.elu_param.alpha)


@EMITTERS.register("Swish")
def swish(site: Site) -> str:
    """x * sigmoid(beta * x)."""
    return site.op("Mul", site.x, site.op("Sigmoid", linear(site, site.param.swish_param.beta, 0)))


@EMITTERS.register("Power")
def power(site: Site) -> str:
    """(shift + scale * x) ^ power."""
    param = site.param.power_param
    if param.power * param.scale == 0:
        return linear(site, 0, param.shift**param.power)
    inner = linear(site, param.scale, param.shift)
    return inner if param.power == 1 else site.op("Pow", inner, site.floats(param.power))


@EMITTERS.register("Exp")
def exp(site: Site) -> str:
    """Exp of a linear function."""
    layer: Any = site.layer
    return site.op("Exp", linear(site, layer.inner_scale, layer.inner_shift))


@EMITTERS.register("Log")
def log(site: Site) -> str:
    """Log of a linear function."""
    layer: Any = site.layer
    y = site.op("Log", linear(site, site.param.log_param.scale, site.param.log_param.shift))
    return y if layer.outer_scale == 1 else site.op("Mul", y, site.floats(layer.outer_scale))


@EMITTERS.register("Clip")
def clip(site: Site) -> str:
    """Clip."""
    param = site.param.clip_param
    return site.op("Clip", site.x, site.floats(param.min), site.floats(param.max))


@EMITTERS.register("Threshold")
def threshold(site: Site) -> str:
    """1 above the threshold, else 0."""
    above = site.op("Greater", site.x, site.floats(site.param.threshold_param.threshold))
    return site.op("Cast", above, to=1)  # TensorProto.FLOAT


@EMITTERS.register("Scale", "Bias")
def scale(site: Site) -> str:
    """Mul and Add, with the second bottom or learned operands."""
    x = site.x
    if len(site.bottoms) > 1:
        operand, axes = site.bottoms[1], len(site.shapes[1])
        if missing := missing_axes(site.layer, site.shapes[1], site.shapes[0]):
            operand = site.op("Unsqueeze", operand, site.integers(range(axes, axes + missing)))
        x = site.op("Mul" if site.layer.TYPE == "Scale" else "Add", x, operand)
    for name, tensor in affine_operands(site.layer, site.shapes[0]).items():
        x = site.op("Mul" if name == "weight" else "Add", x, site.weight(name, tensor))
    return x


def linear(site: Site, scale: float, shift: float) -> str:
    """scale * x + shift, without what does nothing."""
    x = site.x if scale == 1 else site.op("Mul", site.x, site.floats(scale))
    return x if shift == 0 else site.op("Add", x, site.floats(shift))
