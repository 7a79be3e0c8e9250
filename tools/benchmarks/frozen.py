"""``frozen``: training on features that are computed once."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.images import image_database
from benchmarks.timing import CLOCKS, Row, medians
from caffe_port import Net, Solver
from caffe_port.net.features import extract_features
from caffe_port.net.surgery import FeatureSource, cut_net
from caffe_port.proto import pb, write_text
from caffe_port.proto.files import read_net
from caffe_port.resources import prototxt

GOAL = 8.0


def whole_net(source: Path, batch: int) -> Any:
    """The Table II net that trains only fc8, reading ``source`` in both phases, with nothing random below fc8's own
    Dropout."""
    net = read_net(prototxt("table2/fc8_train_val.prototxt"))
    net.layer.remove(next(layer for layer in net.layer if layer.name == "drop6"))
    for layer in net.layer:
        if layer.type == "Data":
            layer.transform_param.Clear()
            layer.data_param.source, layer.data_param.batch_size = str(source), batch
    return net


def solver(net: Any) -> Solver:
    """A solver that trains ``net`` and does nothing else."""
    return Solver(pb.SolverParameter(net_param=net, base_lr=0.001, momentum=0.9, lr_policy="fixed", random_seed=1))


def run(args: argparse.Namespace) -> bool:
    """AlexNet of which only fc8 learns: epochs on the images, against computing fc7's features once and training the
    cut head on them."""
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        image_database(folder / "images", args.images, args.size)
        net = whole_net(folder / "images", args.batch)
        write_text(net, folder / "net.prototxt")
        Net(net, seed=1).save(folder / "weights.caffemodel")
        batches = args.images // args.batch
        clock = CLOCKS[args.clock]
        start = clock()
        databases = [str(folder / "fc7"), str(folder / "label")]
        blobs = ["fc7", "label"]
        extract_features(folder / "weights.caffemodel", folder / "net.prototxt", blobs, databases, batches)
        once = (clock() - start) / batches
        sources = {phase: FeatureSource(*databases) for phase in ("TRAIN", "TEST")}
        images, head = solver(net), solver(cut_net(net, "fc7", sources))
        steps = 8
        row = Row("head", lambda: head.step(steps), "images", lambda: images.step(1), None, steps)
        ((on_features, on_images),) = medians([row], args.repeats, args.clock)
    speed = args.epochs * on_images / (once + args.epochs * on_features)
    print(f"{torch.get_num_threads()} threads, {args.clock} time, batch {args.batch}; milliseconds for a batch")
    print(f"on images {on_images * 1e3:.1f}, extraction {once * 1e3:.1f}, on features {on_features * 1e3:.2f}")
    missed = "" if speed >= GOAL else "  missed"
    print(f"{args.epochs} epochs: {speed:.1f} times as fast, extraction included (goal {GOAL:g}){missed}")
    return speed >= GOAL


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--folder", help="where to put 300 MB of temporary files (default: the system's)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=227, help="height and width of the images (default 227)")
    parser.add_argument("--images", type=int, default=256, help="in the database (default 256)")
    parser.add_argument("--epochs", type=int, default=20)
