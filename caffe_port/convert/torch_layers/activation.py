"""The layers that work element by element, Scale and Bias among them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from caffe_port.convert.operands import affine_operands, missing_axes
from caffe_port.convert.python_text import Code, call, number
from caffe_port.convert.torch_layers import runtime
from caffe_port.convert.torch_layers.site import EMITTERS, Site


@EMITTERS.register("ReLU")
def relu(site: Site) -> Code:
    """F.relu, or F.leaky_relu."""
    slope = site.param.relu_param.negative_slope
    return call("F.leaky_relu", site.x, number(slope)) if slope else call("F.relu", site.x)


@EMITTERS.register("PReLU")
def prelu(site: Site) -> Code:
    """nn.PReLU."""
    slope = site.layer.blobs[0]
    shaped: Tensor = slope if slope.ndim else slope.reshape(1)
    return call(site.submodule(call("nn.PReLU", str(shaped.numel())), weight=shaped), site.x)


@EMITTERS.register("ELU")
def elu(site: Site) -> Code:
    """F.elu."""
    return call("F.elu", site.x, number(site.param.elu_param.alpha))


_METHODS = {"Sigmoid": "sigmoid", "TanH": "tanh", "AbsVal": "abs"}


@EMITTERS.register(*_METHODS)
def method(site: Site) -> Code:
    """A method of tensors."""
    return f"{site.x}.{_METHODS[site.layer.TYPE]}()"


@EMITTERS.register("BNLL")
def bnll(site: Site) -> Code:
    """F.softplus; above the threshold it is x to the last bit anyway."""
    return call("F.softplus", site.x, threshold="50")


@EMITTERS.register("Swish")
def swish(site: Site) -> Code:
    """x * sigmoid(beta * x)."""
    beta = site.param.swish_param.beta
    return call("F.silu", site.x) if beta == 1 else f"{site.x} * ({linear(site.x, beta, 0)}).sigmoid()"


@EMITTERS.register("Power")
def power(site: Site) -> Code:
    """(shift + scale * x) ** power."""
    param = site.param.power_param
    if param.power * param.scale == 0:
        return call("torch.full_like", site.x, repr(float(param.shift**param.power)))
    inner = linear(site.x, param.scale, param.shift)
    if param.power == 1:
        return inner
    return f"{inner}**{number(param.power)}" if inner == site.x else f"({inner}) ** {number(param.power)}"


@EMITTERS.register("Exp")
def exp(site: Site) -> Code:
    """exp of a linear function."""
    layer: Any = site.layer
    return call("torch.exp", linear(site.x, layer.inner_scale, layer.inner_shift))


@EMITTERS.register("Log")
def log(site: Site) -> Code:
    """log of a linear function."""
    layer: Any = site.layer
    inner = call("torch.log", linear(site.x, site.param.log_param.scale, site.param.log_param.shift))
    return inner if layer.outer_scale == 1 else f"{layer.outer_scale!r} * torch.log({inner.items[0]})"


@EMITTERS.register("Clip")
def clip(site: Site) -> Code:
    """Tensor.clamp."""
    param = site.param.clip_param
    return f"{site.x}.clamp({number(param.min)}, {number(param.max)})"


@EMITTERS.register("Threshold")
def threshold(site: Site) -> Code:
    """1 above the threshold, else 0."""
    return f"({site.x} > {number(site.param.threshold_param.threshold)}).to({site.x}.dtype)"


@EMITTERS.register("Scale", "Bias")
def scale(site: Site) -> Code:
    """A product with, or sum of, the second bottom or a learned operand."""
    x = site.x
    if len(site.bottoms) > 1:
        missing = missing_axes(site.layer, site.shapes[1], site.shapes[0])
        operand = f"{site.bottoms[1]}[..., {', '.join(['None'] * missing)}]" if missing else site.bottoms[1]
        x = f"{x} {'*' if site.layer.TYPE == 'Scale' else '+'} {operand}"
    learned = affine_operands(site.layer, site.shapes[0])
    if not learned:
        return x
    shape = map(str, next(iter(learned.values())).shape)
    off = {name: "False" for name in ("weight", "bias") if name not in learned}
    return call(site.submodule(call(site.use(runtime.Affine), *shape, **off), **learned), x)


def linear(x: str, scale: float, shift: float) -> str:
    """scale * x + shift, without what does nothing."""
    text = x if scale == 1 else f"{number(scale)} * {x}"
    if shift == 0:
        return text
    return f"{text} {'+' if shift > 0 else '-'} {number(abs(shift))}"
