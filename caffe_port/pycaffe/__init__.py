"""The ``caffe`` module of old Python scripts: pycaffe's names over caffe_port."""

from caffe_port.layers import layer_types
from caffe_port.layers.blob_views import BlobView as Blob
from caffe_port.layers.utility.python import UserLayer as Layer
from caffe_port.proto import pb
from caffe_port.pycaffe import io
from caffe_port.pycaffe.classifier import Classifier
from caffe_port.pycaffe.detector import Detector
from caffe_port.pycaffe.mode import (
    init_log,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe_port.pycaffe.nccl import NCCL, has_nccl
from caffe_port.pycaffe.net import Net
from caffe_port.pycaffe.net_spec import NetSpec, layers, params, to_proto
from caffe_port.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)
from caffe_port.pycaffe.timer import Timer

TRAIN, TEST = pb.TRAIN, pb.TEST

#: the version of Caffe whose interface this is
__version__ = "1.0.0"


def layer_type_list() -> list[str]:
    """The type names of all layers, sorted."""
    return list(layer_types())


__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
