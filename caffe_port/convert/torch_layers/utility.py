"""Layers that move, join, cut, reshape or reduce blobs."""

from __future__ import annotations

from caffe_port.convert.python_text import Brackets, Code, call, number
from caffe_port.convert.torch_layers import runtime
from caffe_port.convert.torch_layers.site import EMITTERS, Site
from caffe_port.layers.utility.concat import axis_field

Statements = list[tuple[str, Code]]


@EMITTERS.register("Split")
def split(site: Site) -> Statements:
    """Nothing: the tops are the bottom."""
    return [(top, site.x) for top in site.tops]


@EMITTERS.register("Parameter")
def parameter(site: Site) -> Code:
    """nn.Parameter."""
    return site.module.parameter(site.layer, site.layer.blobs[0])


@EMITTERS.register("Concat")
def concat(site: Site) -> Code:
    """torch.cat."""
    param = site.param.concat_param
    if len(site.bottoms) == 1:
        return site.x
    axis = site.layer.axis(axis_field(site.layer, param, "concat_dim"), site.shapes[0])
    return call("torch.cat", Brackets("[", site.bottoms, "]"), dim=str(axis))


@EMITTERS.register("Slice")
def slice_(site: Site) -> Code | Statements:
    """Tensor.tensor_split."""
    param = site.param.slice_param
    axis = site.layer.axis(axis_field(site.layer, param, "slice_dim"), site.shapes[0])
    if len(site.tops) == 1:
        return site.x
    where = str(tuple(param.slice_point)) if param.slice_point else str(len(site.tops))
    site.module.unpack(site.tops, f"{site.x}.tensor_split({where}, dim={axis})")
    return []


@EMITTERS.register("Eltwise")
def eltwise(site: Site) -> Statements:
    """The sum, product or maximum, bottom by bottom."""
    param = site.param.eltwise_param
    top = site.tops[0]
    if param.operation == param.SUM:
        terms = [_term(c, x) for c, x in zip(param.coeff or [1.0] * len(site.bottoms), site.bottoms)]
    else:
        terms = [("+", x) for x in site.bottoms]
    sign, total = terms[0]
    total = total if sign == "+" else f"-{total}"
    statements: Statements = []
    for sign, term in terms[1:]:
        if param.operation == param.MAX:
            code: Code = call("torch.maximum", total, term)
        else:
            code = f"{total} {'*' if param.operation == param.PROD else sign} {term}"
        statements.append((top, code))
        total = site.module.variable(top)
    return statements


def _term(coefficient: float, x: str) -> tuple[str, str]:
    """Sign and magnitude of a term."""
    return "-" if coefficient < 0 else "+", x if abs(coefficient) == 1 else f"{number(abs(coefficient))} * {x}"


@EMITTERS.register("Flatten")
def flatten(site: Site) -> Code:
    """Tensor.flatten; an end_axis one before axis inserts an axis."""
    param, shape = site.param.flatten_param, site.shapes[0]
    start, end = site.layer.axis(param.axis, shape), site.layer.axis(param.end_axis, shape)
    if start == end:
        return site.x
    if end < start:
        return f"{site.x}.unsqueeze({start})"
    return f"{site.x}.flatten({start})" if end == len(shape) - 1 else f"{site.x}.flatten({start}, {end})"


@EMITTERS.register("Reshape")
def reshape(site: Site) -> Code:
    """Tensor.reshape, in which axes that are copied are looked up."""
    param, axes = site.param.reshape_param, len(site.shapes[0])
    start = site.layer.axis(param.axis, site.shapes[0], end=True)
    end = axes if param.num_axes == -1 else start + param.num_axes
    copied = [f"{site.x}.shape[{i}]" for i in range(axes)]
    dims = [copied[start + i] if n == 0 else str(n) for i, n in enumerate(param.shape.dim)]
    return call(f"{site.x}.reshape", *copied[:start], *dims, *copied[end:])


@EMITTERS.register("Reduction")
def reduction(site: Site) -> Code:
    """A sum or mean over the axes from ``axis`` on."""
    param, axes = site.param.reduction_param, len(site.shapes[0])
    axis = site.layer.axis(param.axis, site.shapes[0])
    over = tuple(range(axis, axes)) if axis < axes - 1 else axis
    x = site.x + {param.ASUM: ".abs()", param.SUMSQ: ".square()"}.get(param.operation, "")
    total = f"{x}.{'mean' if param.operation == param.MEAN else 'sum'}({over})"
    return total if param.coeff == 1 else f"{number(param.coeff)} * {total}"


@EMITTERS.register("Tile")
def tile(site: Site) -> Code:
    """torch.cat of copies."""
    param = site.param.tile_param
    axis = site.layer.axis(param.axis, site.shapes[0])
    return call("torch.cat", f"[{site.x}] * {param.tiles}", dim=str(axis))


@EMITTERS.register("ArgMax")
def argmax(site: Site) -> Code:
    """Indices or values of the largest entries, along an axis or of each item as a whole."""
    param = site.param.argmax_param
    keywords = {}
    if param.HasField("axis"):
        keywords["dim"] = str(site.layer.axis(param.axis, site.shapes[0]))
    if param.out_max_val:
        keywords["values"] = "True"
    return call(site.use(runtime.arg_max), site.x, str(param.top_k), **keywords)
