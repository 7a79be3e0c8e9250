"""Caffe on PyTorch: load, run, train, resume and convert Caffe models with Caffe's exact numbers."""

from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.net import Net
from caffe_port.solver import Solver
from caffe_port.version import __version__

__all__ = ["CaffeError", "CaffeWarning", "Net", "Solver", "__version__"]
