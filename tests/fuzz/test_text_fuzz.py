"""Random prototxt: it parses, or gives one FormatError with a place; what was printed reads back."""

from __future__ import annotations

import warnings

from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_port.errors import CaffeError, FormatError
from caffe_port.proto.files import is_text
from caffe_port.proto.scalars import fields_of
from caffe_port.proto.schema import pb
from caffe_port.proto.text import format_text, parse_text
from caffe_port.proto.upgrade import upgrade_net
from tests.shared import ORACLE

BOUNDED = settings(max_examples=150, deadline=None, derandomize=True)
SAMPLES = [path.read_bytes() for path in sorted((ORACLE / "upgrade").glob("*.prototxt"))]
PIECES = [
    "layer",
    "layers",
    "name",
    "type",
    "input_dim",
    "phase",
    "TRAIN",
    "{",
    "}",
    "<",
    ">",
    "[",
    "]",
    ":",
    ",",
    ";",
    "-",
]
PIECES += [
    "'a'",
    '"b"',
    "'",
    "\\",
    "1",
    "-1",
    "0x",
    "08",
    "1e",
    "1.5f",
    "nan",
    "true",
    "#",
    "\n",
    " ",
    "\t",
    "\x00",
    "é",
    "blobs",
]
PIECES += [
    "param",
    "relu_param",
    "engine",
    "MKLDNN",
    "permute_param",
    "layer { ",
    "convolution_param { pad: ",
    "[[[[",
    "<<<<",
]


def check(data, unknown):
    """``data`` parses and its print reads back, or the error's place lies inside it."""
    error = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            message = parse_text(data, pb.NetParameter, file="f", unknown=unknown)
        except FormatError as caught:
            error = caught
    if error is None:
        text = format_text(message)
        assert "nan" in text or parse_text(text, pb.NetParameter) == message
    else:
        lines = (data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")).split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1


@BOUNDED
@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join), st.sampled_from(["error", "warn"]))
def test_pieces_of_prototxt(text, unknown):
    check(text, unknown)


@BOUNDED
@given(st.binary(max_size=200), st.sampled_from(["error", "warn"]))
def test_any_bytes(data, unknown):
    assert is_text(data) in (True, False)
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        check(data, unknown)


@BOUNDED
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_files(sample, data):
    start = data.draw(st.integers(0, len(sample)))
    stop = data.draw(st.integers(start, min(len(sample), start + 50)))
    check(
        sample[:start] + data.draw(st.binary(max_size=5)) + sample[stop:], data.draw(st.sampled_from(["error", "warn"]))
    )


def messages(descriptor, message_class, depth=3):
    """Messages with any of their scalar fields set, and sub-messages down to ``depth``."""

    def scalar(field, info):
        if field.cpp_type == field.CPPTYPE_BOOL:
            return st.booleans()
        if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
            return st.floats(width=32)
        if field.cpp_type == field.CPPTYPE_ENUM:
            return st.sampled_from([value.number for value in field.enum_type.values])
        if field.cpp_type == field.CPPTYPE_STRING:
            return (
                st.binary(max_size=5)
                if field.type == field.TYPE_BYTES
                else st.text(st.characters(codec="utf-8"), max_size=5)
            )
        return st.integers(info.least, info.most)

    @st.composite
    def build(draw):
        message = message_class()
        fields = draw(
            st.lists(st.sampled_from(list(descriptor.fields)), max_size=5, unique_by=lambda field: field.name)
        )
        for field in fields:
            info = fields_of(descriptor)[field.name]
            if info.message is None:
                value = draw(st.lists(scalar(field, info), max_size=3) if info.repeated else scalar(field, info))
            elif depth == 0 or info.message.name == "ClipParameter":
                continue
            else:
                inner = messages(info.message, getattr(pb, info.message.name), depth - 1)
                value = draw(st.lists(inner, max_size=2) if info.repeated else inner)
            if info.repeated:
                getattr(message, field.name).extend(value)
            elif info.message is None:
                setattr(message, field.name, value)
            else:
                getattr(message, field.name).CopyFrom(value)
        return message

    return build()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(messages(pb.NetParameter.DESCRIPTOR, pb.NetParameter))
def test_print_and_parse(net):
    again = parse_text(format_text(net), pb.NetParameter)
    assert again == net or "nan" in format_text(net)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(messages(pb.NetParameter.DESCRIPTOR, pb.NetParameter))
def test_upgrade_refuses_or_is_idempotent(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            upgrade_net(net)
        except CaffeError:
            return
    once = net.SerializeToString(deterministic=True)
    assert upgrade_net(net).SerializeToString(deterministic=True) == once
    assert not net.layers
    assert not net.input
