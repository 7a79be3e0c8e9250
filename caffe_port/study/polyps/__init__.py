"""Polyp detection (section VI-A)."""

from caffe_port.study.polyps.application import APPLICATION

__all__ = ["APPLICATION"]
