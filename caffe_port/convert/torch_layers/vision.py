"""Convolution, Deconvolution, Pooling, Crop."""

from __future__ import annotations

from typing import Any

from caffe_port.convert.python_text import Code, call, numbers
from caffe_port.convert.torch_layers import runtime
from caffe_port.convert.torch_layers.site import EMITTERS, Site

Statements = list[tuple[str, Code]]


@EMITTERS.register("Convolution", "Deconvolution")
def convolution(site: Site) -> Statements:
    """nn.Conv<n>d and nn.ConvTranspose<n>d; every bottom goes through the same one.

    Two axes are convolved in the memory layout in which our net does it, and so with the same rounding.
    """
    layer: Any = site.layer
    kind = "nn.Conv" if layer.TYPE == "Convolution" else "nn.ConvTranspose"
    name = f"{kind}{len(layer.kernel)}d"
    if name == "nn.Conv2d":
        name = site.use(runtime.Conv2d)
    settings = {"stride": (layer.stride, 1), "padding": (layer.pad, 0), "dilation": (layer.dilation, 1)}
    keywords = {key: numbers(values) for key, (values, default) in settings.items() if set(values) != {default}}
    if layer.group != 1:
        keywords["groups"] = str(layer.group)
    if len(layer.blob_names) == 1:
        keywords["bias"] = "False"
    sizes = str(layer.channels), str(layer.num_output)
    constructor = call(name, *sizes, kernel_size=numbers(layer.kernel), **keywords)
    module = site.submodule(constructor, **dict(zip(("weight", "bias"), layer.blobs)))
    return [(top, call(module, bottom)) for top, bottom in zip(site.tops, site.bottoms)]


@EMITTERS.register("Pooling")
def pooling(site: Site) -> Code:
    """torch's own pooling where it has Caffe's windows for inputs of any size, else a function that has them."""
    layer: Any = site.layer
    window = layer.fixed_window
    if window is None:
        return f"{site.x}.{'amax' if layer.method == 'MAX' else 'mean'}((2, 3), keepdim=True)"
    halved = all(2 * p <= k for p, k in zip(window.pad, window.kernel))
    inside = any(window.pad) or not window.ceil or all(s <= k for s, k in zip(window.stride, window.kernel))
    if not (halved and inside):
        site.layer.check(window.ceil, "has round_mode FLOOR and a pad beyond half its kernel.", "Use a smaller pad.")
        sizes = str(window.kernel), str(window.stride), str(window.pad)
        function = runtime.max_pool if layer.method == "MAX" else runtime.average_pool
        return call(site.use(runtime.pad_windows, function), site.x, *sizes)
    keywords = {"kernel_size": numbers(window.kernel), "stride": numbers(window.stride)}
    if any(window.pad):
        keywords["padding"] = numbers(window.pad)
    if window.ceil:
        keywords["ceil_mode"] = "True"
    return call("F.max_pool2d" if layer.method == "MAX" else "F.avg_pool2d", site.x, **keywords)


@EMITTERS.register("Crop")
def crop(site: Site) -> Code:
    """A cut along each axis from ``axis`` on, to the size of the second bottom."""
    param = site.param.crop_param
    start = site.layer.axis(param.axis, site.shapes[0])
    offsets = list(param.offset) or [0]
    axes = range(start, len(site.shapes[0]))
    table = dict(zip(axes, offsets if len(offsets) > 1 else offsets * len(axes)))
    return call(site.use(runtime.crop), *site.bottoms, str(table))
