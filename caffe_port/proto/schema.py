"""Caffe's message classes, in a descriptor pool of our own.

protobuf's default pool refuses a second ``caffe.proto`` in the process (real Caffe, OpenVINO or another importer may
have brought one), hence the private pool. ``caffe.desc`` is what protoc makes of ``caffe.proto``
(``tools/compile_proto.py``).
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


def load_file_descriptor(path: Path) -> FileDescriptor:
    """The one file of the FileDescriptorSet at ``path``, in a new private pool."""
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    return pool.FindFileByName(files.file[0].name)


def message_classes(file: FileDescriptor) -> dict[str, Any]:
    """What protoc would put into a module for ``file``: its top-level message classes, enum types and enum values."""
    if hasattr(message_factory, "GetMessageClass"):
        make = message_factory.GetMessageClass
    else:  # protobuf before 4.22
        make = message_factory.MessageFactory(file.pool).GetPrototype
    classes = {name: make(descriptor) for name, descriptor in file.message_types_by_name.items()}
    for enum in file.enum_types_by_name.values():
        classes[enum.name] = EnumTypeWrapper(enum)
        classes.update({value.name: value.number for value in enum.values})
    return classes


FILE = load_file_descriptor(Path(__file__).with_name("caffe.desc"))

#: Every message class, top-level enum and enum value of caffe.proto: ``pb.LayerParameter``, ``pb.Phase``, ``pb.TRAIN``.
pb = SimpleNamespace(**message_classes(FILE))
