"""Carotid intima-media interfaces (section VI-D)."""

from caffe_port.study.interfaces.application import APPLICATION, Interfaces

__all__ = ["APPLICATION", "Interfaces"]
