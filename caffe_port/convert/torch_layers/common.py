"""InnerProduct, Dropout."""

from __future__ import annotations

from torch import Tensor

from caffe_port.convert.python_text import Code, call, number
from caffe_port.convert.torch_layers.site import EMITTERS, Site


@EMITTERS.register("InnerProduct")
def inner_product(site: Site) -> Code:
    """nn.Linear on the axes from ``axis`` on, flattened."""
    param, layer = site.param.inner_product_param, site.layer
    axis = layer.axis(param.axis, site.shapes[0])
    weight: Tensor = layer.blob(0).t().contiguous() if param.transpose else layer.blobs[0]
    outputs, inputs = weight.shape
    keywords = {} if param.bias_term else {"bias": "False"}
    tensors = {"weight": weight, **({"bias": layer.blobs[1]} if param.bias_term else {})}
    module = site.submodule(call("nn.Linear", str(inputs), str(outputs), **keywords), **tensors)
    return call(module, site.x if axis == len(site.shapes[0]) - 1 else f"{site.x}.flatten({axis})")


@EMITTERS.register("Dropout")
def dropout(site: Site) -> Code:
    """nn.Dropout, which does nothing in evaluation mode."""
    ratio = number(site.param.dropout_param.dropout_ratio)
    return call(site.submodule(call("nn.Dropout", ratio)), site.x)
