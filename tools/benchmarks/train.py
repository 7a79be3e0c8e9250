"""``train``: the AlexNet training step."""

from __future__ import annotations

import argparse

import torch

from benchmarks.alexnet import caffe_alexnet, caffe_net, plain_step, random_inputs, translate
from benchmarks.timing import Row, Task, Worker, report
from caffe_port import Net
from caffe_port.memory import keep_freed_memory

CPU = torch.device("cpu")


def ours(batch: int, size: int) -> Task:
    """A step of the solver."""
    solver = caffe_alexnet(CPU, random_inputs(batch, size))
    return lambda: solver.step(1)


def plain(batch: int, size: int, keep: bool) -> Task:
    """A step of the plain translation; ``keep``: with the memory setting that the solver makes."""
    inputs = random_inputs(batch, size)
    if keep:
        keep_freed_memory()
    return plain_step(translate(Net(caffe_net(inputs), phase="TRAIN", seed=1), CPU), inputs)


def run(args: argparse.Namespace) -> bool:
    """The AlexNet training step (forward, backward, SGD update) against the plain translation.

    That is torch's own modules in contiguous memory, nn.LocalResponseNorm, torch.optim.SGD, with the same weights and
    images. Each has a process of its own, as a solver changes how its process keeps memory; the second row shows what
    that alone would do for the plain translation.
    """
    shape = (args.batch, args.size)
    settings = {"threads": args.threads, "clock": args.clock}
    step = Worker(ours, *shape, **settings)
    usual, keeping = (Worker(plain, *shape, keep, **settings) for keep in (False, True))
    print(f"AlexNet training step, batch {args.batch} of 3 x {args.size} x {args.size}")
    return report(
        [
            Row("caffe_port", step, "plain translation", usual, 1.8),
            Row("caffe_port", step, "the same, keeping freed memory", keeping),
        ],
        args.repeats,
        args.clock,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=227, help="height and width of the images (default 227)")
