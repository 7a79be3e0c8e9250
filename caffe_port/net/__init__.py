"""Nets: selection of layers by phase, graph building, execution, weights."""

from caffe_port.net.blobwise import Blob, BlobwiseExecutor
from caffe_port.net.net import Net

__all__ = ["Blob", "BlobwiseExecutor", "Net"]
