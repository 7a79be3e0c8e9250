"""The compiled schema, and its privacy."""

from __future__ import annotations

import csv
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from caffe_port.proto import schema
from caffe_port.proto.scalars import fields_of
from tests.shared import ROOT, SHARED, needs


def test_caffe_desc_is_caffe_proto_compiled(tmp_path, monkeypatch):
    pytest.importorskip("grpc_tools")
    monkeypatch.syspath_prepend(ROOT / "tools")
    sys.modules.pop("compile_proto", None)
    import compile_proto

    compile_proto.compile_proto(tmp_path / "caffe.desc")
    made = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "caffe.desc").read_bytes())
    ours = ROOT / "caffe_port" / "proto" / "caffe.desc"
    assert made == descriptor_pb2.FileDescriptorSet.FromString(ours.read_bytes())


def test_another_caffe_proto_in_the_process_does_not_clash():
    """Real Caffe, or an importer, may register its own caffe.proto in protobuf's default pool."""
    other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    message = other.message_type.add(name="NetParameter")
    message.field.add(name="stranger", number=1, type=5, label=1)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(other.SerializeToString())
    assert pool.FindMessageTypeByName("caffe.NetParameter").fields_by_name.keys() == ["stranger"]
    again = schema.message_classes(schema.load_file_descriptor(ROOT / "caffe_port" / "proto" / "caffe.desc"))
    assert again["NetParameter"](name="n").SerializeToString() == schema.pb.NetParameter(name="n").SerializeToString()


@needs(SHARED / "caffe_schema" / "fields.csv")
def test_every_field_is_caffes():
    """Number, label, packing and default of every field, against the facts of BVLC's schema."""
    packed, ours = {}, {}
    files = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "caffe_port" / "proto" / "caffe.desc").read_bytes())
    for message in files.file[0].message_type:
        packed.update({(message.name, field.name): field.options.packed for field in message.field})
    for name, message in schema.FILE.message_types_by_name.items():
        for field in fields_of(message).values():
            label = "repeated" if field.repeated else "required" if field.required else "optional"
            ours[name, field.name] = (message.fields_by_name[field.name].number, label, packed[name, field.name])
    with (SHARED / "caffe_schema" / "fields.csv").open() as file:
        rows = {
            (row["message"], row["field"]): (int(row["number"]), row["label"], row["packed"] == "packed")
            for row in csv.DictReader(file)
        }
    assert ours == rows
