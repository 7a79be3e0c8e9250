"""Frame classification: informative or not (section VI-C)."""

from caffe_port.study.frames.application import APPLICATION

__all__ = ["APPLICATION"]
