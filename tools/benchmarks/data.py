"""``data``: reading images."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.alexnet import caffe_alexnet, random_inputs
from benchmarks.images import image_database
from benchmarks.timing import CLOCKS, Row, Task, report
from caffe_port import Net
from caffe_port.proto import pb

BATCHES = 24  #: in one turn


def reading(source: Path, batch: int, size: int, clock: str) -> Task:
    """Batches from a Data layer with random crops and mirrors; those that lay ready do not count."""
    layer = pb.LayerParameter(name="data", type="Data", top=["data", "label"])
    layer.data_param.source, layer.data_param.batch_size = str(source), batch
    layer.data_param.backend = pb.DataParameter.LMDB
    layer.transform_param.crop_size, layer.transform_param.mirror = size, True
    layer.transform_param.mean_value.extend([104, 117, 123])
    net = Net(pb.NetParameter(layer=[layer]), phase="TRAIN", seed=1)

    def read() -> float:
        for _ in range(layer.data_param.prefetch):
            net.run({}, net.outputs)
        start = CLOCKS[clock]()
        for _ in range(BATCHES):
            net.run({}, net.outputs)
        return CLOCKS[clock]() - start

    return read


def run(args: argparse.Namespace) -> bool:
    """Images read from an LMDB of colour images, cropped at random, mirrored, less a mean, against the AlexNet training
    step that takes them; milliseconds are those of one image."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source = Path(folder, "lmdb")
        image_database(source, args.images, args.size + 29)
        read = reading(source, args.batch, args.size, args.clock)
        solver = caffe_alexnet(torch.device("cpu"), random_inputs(args.batch, args.size))
        rates: list[float] = []

        def timed() -> float:
            seconds = read()
            rates.append(BATCHES * args.batch / seconds)
            return seconds

        row = Row("image read", timed, "image in an AlexNet step", lambda: solver.step(1), 3.0, BATCHES * args.batch)
        reached = report([row._replace(yardstick_count=args.batch)], args.repeats, args.clock)
        print(f"{sorted(rates[1:])[len(rates[1:]) // 2]:.0f} images per second")
        return reached


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--folder", help="where to put the temporary database (default: the system's)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=227, help="of the crop; images are 29 larger (default 227)")
    parser.add_argument("--images", type=int, default=512, help="in the database (default 512: 100 MB)")
