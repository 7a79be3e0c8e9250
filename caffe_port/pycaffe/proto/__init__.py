"""``caffe.proto``, the package in which scripts find ``caffe_pb2``."""

from caffe_port.pycaffe.proto import caffe_pb2

__all__ = ["caffe_pb2"]
