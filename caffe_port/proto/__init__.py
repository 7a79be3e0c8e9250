"""Caffe's files: schema, prototxt text, binary weights, upgrades of old formats. Only this room touches protobuf."""

from caffe_port.proto.schema import pb

__all__ = ["pb"]
