"""``load``: loading and saving weights against the bare input and output."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import Row, report
from caffe_port import Net
from caffe_port.resources import prototxt


def alexnet() -> Net:
    """The shipped AlexNet with random weights, of which no page is empty."""
    net = Net(prototxt("alexnet/deploy.prototxt"), seed=1)
    generator = np.random.default_rng(1)
    for param in net.params:
        flat = param.blob.detach().numpy().reshape(-1)
        generator.standard_normal(out=flat, dtype=np.float32)
    return net


def run(args: argparse.Namespace) -> bool:
    """Loading into a net that exists against reading and copying once; saving against writing, both with fsync.

    All memory (the net, the buffer, the copy) exists and has been touched before. The file is in the page cache. The
    goals are 1.5 and 2 times the time of the yardstick at most.
    """
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        weights, saved, raw = (Path(folder, name) for name in ("weights.caffemodel", "saved.caffemodel", "raw.bin"))
        net = alexnet()
        net.save(weights)
        buffer, copy = (np.zeros(weights.stat().st_size, np.uint8) for _ in range(2))

        def read_and_copy() -> None:
            with open(weights, "rb", buffering=0) as file:
                done = 0
                while count := file.readinto(memoryview(buffer)[done:]):
                    done += count
            np.copyto(copy, buffer)

        def write_raw() -> None:
            with open(raw, "wb", buffering=0) as file:
                done = 0
                while done < buffer.size:
                    done += file.write(memoryview(buffer)[done:])
                os.fsync(file.fileno())

        read_and_copy()
        rows = [
            Row("load", lambda: net.load(weights), "read the file, copy it once", read_and_copy, 1 / 1.5),
            Row("save", lambda: net.save(saved), "write the bytes, fsync", write_raw, 1 / 2),
        ]
        print(f"{weights.stat().st_size / 1e6:.0f} MB of weights")
        return report(rows, args.repeats, args.clock)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--folder", help="where to put 750 MB of temporary files (default: the system's)")
