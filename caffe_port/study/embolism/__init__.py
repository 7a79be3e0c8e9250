"""Pulmonary embolism detection in CT angiographies (section VI-B)."""

from caffe_port.study.embolism.application import APPLICATION

__all__ = ["APPLICATION"]
