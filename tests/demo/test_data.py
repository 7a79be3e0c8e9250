"""Procedural data for all applications; what they are good for is tested in tests/cli/test_study_whole.py."""

from __future__ import annotations

import sys

import pytest

from caffe_port.demo.data import write_phantom_data
from caffe_port.errors import DataError


def test_without_simpleitk_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"SimpleITK, which is not installed.*caffe_port\[ct\]"):
        write_phantom_data(tmp_path / "new", 6)
    assert list(tmp_path.iterdir()) == []
