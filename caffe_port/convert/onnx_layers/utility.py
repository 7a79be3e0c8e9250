"""Layers that move, join, cut, reshape or reduce blobs."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from caffe_port.convert.onnx_layers.site import EMITTERS, Site
from caffe_port.layers.utility.concat import axis_field

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@EMITTERS.register("Split")
def split(site: Site) -> list[str]:
    """Nothing: the tops are the bottom."""
    return [site.x] * len(site.tops)


@EMITTERS.register("Parameter")
def parameter(site: Site) -> str:
    """An initializer; Identity, so that it may be an output."""
    return site.op("Identity", site.weight("parameter", site.layer.blobs[0]))


@EMITTERS.register("Concat")
def concat(site: Site) -> str:
    """Concat."""
    axis = site.layer.axis(axis_field(site.layer, site.param.concat_param, "concat_dim"), site.shapes[0])
    return site.op("Concat", *site.bottoms, axis=axis)


@EMITTERS.register("Slice")
def slice_(site: Site) -> list[str]:
    """Split into equal parts, or a Slice for each top."""
    param = site.param.slice_param
    axis = site.layer.axis(axis_field(site.layer, param, "slice_dim"), site.shapes[0])
    if not param.slice_point:
        return site.ops("Split", site.x, names=site.tops, axis=axis)
    where = site.integers([axis])
    bounds = [site.integers([point]) for point in (0, *param.slice_point, INT64_MAX)]
    return [
        site.ops("Slice", site.x, start, end, where, names=[top])[0]
        for top, (start, end) in zip(site.tops, pairwise(bounds))
    ]


@EMITTERS.register("Eltwise")
def eltwise(site: Site) -> str:
    """Sum (with a Mul where a coefficient is not 1), Mul, Max."""
    param = site.param.eltwise_param
    if param.operation == param.MAX:
        return site.op("Max", *site.bottoms)
    if param.operation == param.PROD:
        product = site.x
        for bottom in site.bottoms[1:]:
            product = site.op("Mul", product, bottom)
        return product
    weights = param.coeff or [1.0] * len(site.bottoms)
    return site.op("Sum", *(x if c == 1 else site.op("Mul", x, site.floats(c)) for c, x in zip(weights, site.bottoms)))


@EMITTERS.register("Flatten")
def flatten(site: Site) -> str:
    """Reshape; an end_axis one before axis inserts an axis by Unsqueeze."""
    param, shape = site.param.flatten_param, site.shapes[0]
    start, end = site.layer.axis(param.axis, shape), site.layer.axis(param.end_axis, shape)
    if end < start:
        return site.op("Unsqueeze", site.x, site.integers([start]))
    return site.reshape(site.x, [0] * start + [-1] + site.fixed(range(end + 1, len(shape))))


@EMITTERS.register("Reshape")
def reshape(site: Site) -> str:
    """Reshape, whose 0 and -1 are Caffe's."""
    param, axes = site.param.reshape_param, len(site.shapes[0])
    start = site.layer.axis(param.axis, site.shapes[0], end=True)
    end = axes if param.num_axes == -1 else start + param.num_axes
    return site.reshape(site.x, [0] * start + list(param.shape.dim) + site.fixed(range(end, axes)))


@EMITTERS.register("Reduction")
def reduction(site: Site) -> str:
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean over the axes from ``axis`` on."""
    param, axes = site.param.reduction_param, len(site.shapes[0])
    over = list(range(site.layer.axis(param.axis, site.shapes[0]), axes))
    if param.operation == param.SUM:
        y = site.op("ReduceSum", site.x, site.integers(over), keepdims=0)
    else:
        kinds = {param.ASUM: "ReduceL1", param.SUMSQ: "ReduceSumSquare", param.MEAN: "ReduceMean"}
        y = site.op(kinds[param.operation], site.x, axes=over, keepdims=0)
    return y if param.coeff == 1 else site.op("Mul", y, site.floats(param.coeff))


@EMITTERS.register("Tile")
def tile(site: Site) -> str:
    """Tile."""
    axis = site.layer.axis(site.param.tile_param.axis, site.shapes[0])
    repeats = [site.param.tile_param.tiles if i == axis else 1 for i in range(len(site.shapes[0]))]
    return site.op("Tile", site.x, site.integers(repeats))


@EMITTERS.register("ArgMax")
def argmax(site: Site) -> str:
    """TopK of the reversed axis, since of equal values Caffe takes the later one and TopK the earlier."""
    param, axes = site.param.argmax_param, len(site.shapes[0])
    if param.HasField("axis"):
        axis = site.layer.axis(param.axis, site.shapes[0])
        found, index = _largest(site, site.x, axis, site.fixed([axis])[0])
        return found if param.out_max_val else index
    x, size = site.reshape(site.x, [0, -1]), prod(site.fixed(range(1, axes)))
    found, index = (site.op("Unsqueeze", part, site.integers([1])) for part in _largest(site, x, 1, size))
    y = site.op("Concat", index, found, axis=1) if param.out_max_val else index
    return site.reshape(y, [0, 0, 0] + [1] * (axes - 3)) if axes > 3 else y


def _largest(site: Site, x: str, axis: int, size: int) -> tuple[str, str]:
    """The ``top_k`` largest values of ``x`` along an axis of ``size`` and their indices as floats."""
    top_k = site.integers([site.param.argmax_param.top_k])
    turned = site.op("Slice", x, *(site.integers([n]) for n in (-1, INT64_MIN, axis, -1)))
    found, index = site.ops("TopK", turned, top_k, names=[site.tops[0]] * 2, axis=axis)
    return found, site.op("Sub", site.floats(size - 1), site.op("Cast", index, to=1))
