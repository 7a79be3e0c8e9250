"""How each layer type is written as ONNX operators. Importing this package registers every emitter."""

from caffe_port.convert.onnx_layers import activation, common, normalization, utility, vision
from caffe_port.convert.onnx_layers.site import EMITTERS, Graph, Site

__all__ = ["EMITTERS", "Graph", "Site", "activation", "common", "normalization", "utility", "vision"]
