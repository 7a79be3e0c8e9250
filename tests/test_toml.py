"""Reading TOML."""

from __future__ import annotations

import pytest

from caffe_port.errors import FormatError
from caffe_port.toml import read_toml, read_value


def test_a_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('a = 1\n[b]\nc = "é"\n', encoding="utf-8")
    assert read_toml(path) == {"a": 1, "b": {"c": "é"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = = 2\n", r"a\.toml:2:5: is not TOML: Invalid value\."),
        (b"a = 1\na = 2\n", r"a\.toml:2:6: is not TOML: Cannot overwrite a value\."),
        (b"a = [1,\n", r"a\.toml: is not TOML: Invalid value \(at end of document\)\."),
        (b"a = " + b"[" * 100_000, r"a\.toml: is nested too deeply\."),
        (b"a = '\xff'\n", r"a\.toml, byte 5: is not UTF-8 text\."),
    ],
)
def test_faults_have_their_place(tmp_path, content, message):
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_toml(path)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(FormatError, match=r"absent\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"3"', "3"),
        ("joint", "joint"),
        ("", ""),
        ("[" * 9999, "[" * 9999),
    ],
)
def test_single_values(text, value):
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)
