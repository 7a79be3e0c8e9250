"""The layer catalogue. Importing this package registers every layer type."""

import importlib
import pkgutil

from caffe_port.layers.base import Layer, LayerContext
from caffe_port.layers.registry import create_layer, layer_types

for _group in pkgutil.iter_modules(__path__, __name__ + "."):
    if _group.ispkg:
        for _module in pkgutil.iter_modules(importlib.import_module(_group.name).__path__, _group.name + "."):
            importlib.import_module(_module.name)

__all__ = ["Layer", "LayerContext", "create_layer", "layer_types"]
