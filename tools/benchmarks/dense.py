"""``dense``: a patch classifier at every pixel of a region."""

from __future__ import annotations

import argparse

import torch

from benchmarks.timing import Row, Task, report
from caffe_port import Net
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.study.interfaces.dense import DenseNet

GOAL = 5.0
#: The body of CIFAR10_full without its padding and LRN, for patches
#: of 43 x 43 pixels.
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 43 dim: 43 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 32 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "pool1" top: "pool1" }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 32 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
        pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3"
        convolution_param { num_output: 64 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }
layer { name: "pool3" type: "Pooling" bottom: "conv3" top: "pool3"
        pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool3" top: "ip1"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


def run(args: argparse.Namespace) -> bool:
    """The net at every pixel of a region, with what patches share computed once, against the net on one batch of
    patches after the other; milliseconds for one pixel."""
    net = Net(parse_text(NET, pb.NetParameter), seed=1)
    side = net.blob_shapes["data"][2]
    region = torch.randn(1, 3, args.rows + side - 1, args.columns + side - 1)
    patches = torch.randn(args.batch, 3, side, side)
    pixels = args.rows * args.columns
    rows = [Row("pixel", dense(net, region), "patch by patch", batch(net, patches), GOAL, pixels, args.batch)]
    return report(rows, args.repeats, args.clock)


def dense(net: Net, region: torch.Tensor) -> Task:
    """The net at every pixel whose patch lies in ``region``."""
    everywhere = DenseNet(net)

    def task() -> None:
        everywhere(region)

    return task


def batch(net: Net, patches: torch.Tensor) -> Task:
    """The net on ``patches``."""

    def task() -> None:
        with torch.no_grad():
            net(data=patches)

    return task


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.set_defaults(threads=1)
    parser.add_argument("--rows", type=int, default=60, help="of the region (default 60, as the paper's)")
    parser.add_argument("--columns", type=int, default=92, help="of the region (default 92, as the paper's)")
    parser.add_argument("--batch", type=int, default=256, help="patches at once in the yardstick (default 256)")
