"""How each layer type is written as PyTorch source. Importing this package registers every emitter."""

from caffe_port.convert.torch_layers import activation, common, normalization, utility, vision
from caffe_port.convert.torch_layers.site import EMITTERS, Module, Site

__all__ = ["EMITTERS", "Module", "Site", "activation", "common", "normalization", "utility", "vision"]
