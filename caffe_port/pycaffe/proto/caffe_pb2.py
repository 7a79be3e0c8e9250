"""Caffe's schema as the module that protoc would make of ``caffe.proto``.

It holds every message class, the enum ``Phase`` with its values, and ``DESCRIPTOR``. All of them live in a descriptor
pool of their own, so that another ``caffe_pb2`` in the same process does no harm. The classes are those that the rest
of caffe_port uses: a message made here can be given to it.
"""

from typing import TYPE_CHECKING, Any

from caffe_port.proto.schema import FILE as DESCRIPTOR
from caffe_port.proto.schema import pb

globals().update(vars(pb))

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


__all__ = ["DESCRIPTOR", *vars(pb)]
