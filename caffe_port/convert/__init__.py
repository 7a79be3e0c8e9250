"""Conversions with Caffe weights at one end."""

from caffe_port.convert.converted import Converted
from caffe_port.convert.dispatch import convert

__all__ = ["Converted", "convert"]
