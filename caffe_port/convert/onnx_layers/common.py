"""InnerProduct, Dropout."""

from __future__ import annotations

from caffe_port.convert.onnx_layers.site import EMITTERS, Site


@EMITTERS.register("InnerProduct")
def inner_product(site: Site) -> str:
    """Gemm on a matrix, with another ``axis`` MatMul and Add."""
    param, axes = site.param.inner_product_param, len(site.shapes[0])
    axis = site.layer.axis(param.axis, site.shapes[0])
    learned = [site.weight(name, site.layer.blob(i)) for i, name in enumerate(site.layer.blob_names)]
    if axis == 1:
        x = site.x if axes == 2 else site.op("Flatten", site.x, axis=1)
        return site.op("Gemm", x, *learned, transB=0 if param.transpose else 1)
    x = site.reshape(site.x, [0] * axis + [-1])
    weight = learned[0] if param.transpose else site.op("Transpose", learned[0], perm=[1, 0])
    y = site.op("MatMul", x, weight)
    return site.op("Add", y, learned[1]) if param.bias_term else y


@EMITTERS.register("Dropout")
def dropout(site: Site) -> str:
    """Nothing: the net is exported for inference."""
    return site.x
