"""``lenet``: what a small net costs."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.timing import Row, Task, report
from caffe_port import Net, Solver
from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.proto import pb
from caffe_port.proto.files import read_net, read_solver
from caffe_port.proto.text import parse_text
from caffe_port.resources import prototxt

#: Milliseconds of an iteration of real Caffe on one thread, on a machine such as the one that the goals are for.
REAL_CAFFE = 24.0
IMAGES, BATCH, CHAIN = 2048, 64, 100


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images like MNIST's in size and in how much of them is black, and labels."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (IMAGES, 1, 28, 28), np.uint8)
    images[generator.random(images.shape) < 0.8] = 0
    return images, generator.integers(0, 10, IMAGES)


def ours(folder: Path, iterations: int) -> Task:
    """Iterations of the shipped LeNet solver, reading LMDB."""
    with DatabaseWriter(folder / "lmdb", "LMDB") as writer:
        for number, (image, label) in enumerate(zip(*digits())):
            writer.put(b"%08d" % number, array_to_datum(image, int(label)).SerializeToString())
    net = read_net(prototxt("lenet/train_val.prototxt"))
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source, layer.data_param.backend = str(folder / "lmdb"), pb.DataParameter.LMDB
    param = read_solver(prototxt("lenet/solver.prototxt"))
    for field in ("net", "test_iter", "test_interval", "snapshot", "display"):
        param.ClearField(field)
    param.net_param.CopyFrom(net)
    solver = Solver(param)
    return lambda: solver.step(iterations)


def plain(iterations: int) -> Task:
    """The same as a plain loop over images in memory."""
    images, labels = (torch.from_numpy(array) for array in digits())
    net = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2, 2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2, 2), nn.Flatten()),
        *(nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005)

    def loop() -> None:
        for iteration in range(iterations):
            items = slice(start := iteration * BATCH % IMAGES, start + BATCH)
            optimizer.zero_grad()
            F.cross_entropy(net(images[items].float() / 256), labels[items]).backward()
            optimizer.step()

    return loop


def chain() -> tuple[Task, Task]:
    """A net of many layers on one value, and the bare operations."""
    text = 'layer { name: "b0" type: "Input" top: "b0" input_param { shape { dim: 1 } } }'
    text += "".join(f'layer {{ name: "r{i}" type: "ReLU" bottom: "b{i}" top: "b{i + 1}" }}' for i in range(CHAIN))
    net = Net(parse_text(text, pb.NetParameter))
    one = torch.ones(1)

    def bare() -> None:
        x = one
        for _ in range(CHAIN):
            x = F.relu(x)

    return lambda: net.run({"b0": one}, net.outputs) and None, bare


def real_caffe() -> float:
    """What real Caffe took."""
    return REAL_CAFFE / 1e3


def run(args: argparse.Namespace) -> bool:
    """Training LeNet with batch 64 from an LMDB of images of MNIST's size against a plain torch loop over images in
    memory, and against real Caffe's 24 ms on one thread (another machine's); and what one layer costs beside its
    arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        step = ours(Path(folder), args.iterations)
        net, bare = chain()
        n = args.iterations
        return report(
            [
                Row("iteration", step, "real Caffe (recorded)", real_caffe, 1.0, n),
                Row("iteration", step, "plain torch loop", plain(n), None, n, n),
                Row("layer of one value", net, "torch's relu", bare, None, CHAIN, CHAIN),
            ],
            args.repeats,
            args.clock,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.set_defaults(threads=1)
    parser.add_argument("--iterations", type=int, default=50, help="in one turn (default 50)")
