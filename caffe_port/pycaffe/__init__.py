"""The ``caffe`` module of old Python scripts."""

from caffe_port.pycaffe.blob import Blob
from caffe_port.pycaffe.mode import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffe_port.pycaffe.net import Net
from caffe_port.pycaffe.solver import get_solver

TRAIN, TEST = 0, 1

__all__ = [
    "TEST",
    "TRAIN",
    "Blob",
    "Net",
    "get_solver",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]
