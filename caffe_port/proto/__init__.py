"""Caffe's files: schema, prototxt text, binary weights, upgrades of old formats. Only this room touches protobuf."""

from caffe_port.proto.files import read_message, read_net, read_solver, write_binary, write_text
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_text, parse_text
from caffe_port.proto.upgrade import net_needs_upgrade, solver_needs_upgrade, upgrade_net, upgrade_solver

__all__ = [
    "format_text",
    "net_needs_upgrade",
    "parse_text",
    "pb",
    "read_message",
    "read_net",
    "read_solver",
    "solver_needs_upgrade",
    "upgrade_net",
    "upgrade_solver",
    "write_binary",
    "write_text",
]
