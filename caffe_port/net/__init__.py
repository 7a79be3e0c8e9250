"""Nets: selection of layers by phase, graph building, execution, weights."""

from caffe_port.layers.blob import Blob
from caffe_port.net.blobwise import BlobwiseExecutor
from caffe_port.net.net import Net

__all__ = ["Blob", "BlobwiseExecutor", "Net"]
