"""``infer``: AlexNet's forward."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks.alexnet import translate
from benchmarks.timing import Row, Task, report
from caffe_port import Net
from caffe_port.resources import prototxt


def opencv(net: Net, threads: int) -> Any | None:
    """The net in OpenCV's dnn module, or None if this OpenCV imports no Caffe nets."""
    if not hasattr(getattr(cv2, "dnn", None), "readNetFromCaffe"):
        return None
    cv2.setNumThreads(threads)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.caffemodel")
        net.save(weights)
        try:
            return cv2.dnn.readNetFromCaffe(str(prototxt("alexnet/deploy.prototxt")), str(weights))
        except cv2.error:
            return None


def run(args: argparse.Namespace) -> bool:
    """AlexNet forward (deploy net, its softmax included) against the plain torch modules and, where it imports Caffe
    nets (before version 5), against OpenCV's dnn module, from the same weights."""
    net = Net(prototxt("alexnet/deploy.prototxt"), seed=1)
    plain = translate(net, torch.device("cpu")).eval()
    other = opencv(net, args.threads)
    if other is None:
        print(f"OpenCV {cv2.__version__} imports no Caffe nets: not compared.")
    rows = []
    for batch in args.batch:
        x = torch.randn(batch, *net.blob_shapes["data"][1:])
        name = f"forward, batch {batch}"
        rows.append(Row(name, ours := forward(net, x), "plain torch modules", plain_forward(plain, x), 1.0))
        if other is not None:
            rows.append(Row(name, ours, f"OpenCV {cv2.__version__} dnn", opencv_forward(other, x), 1.0))
    return report(rows, args.repeats, args.clock)


def forward(net: Net, x: torch.Tensor) -> Task:
    """The net on ``x``."""

    def task() -> None:
        with torch.no_grad():
            net(data=x)

    return task


def plain_forward(plain: torch.nn.Module, x: torch.Tensor) -> Task:
    """The plain modules on ``x``."""

    def task() -> None:
        with torch.no_grad():
            plain(x).softmax(1)

    return task


def opencv_forward(net: Any, x: torch.Tensor) -> Task:
    """OpenCV's net on ``x``."""

    def task() -> None:
        net.setInput(x.numpy())
        net.forward()

    return task


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.set_defaults(threads=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="sizes of batches (default: 1 32)")
