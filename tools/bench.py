"""Measure caffe_port on this machine, as ratios of medians within one run.

python tools/bench.py load     weights: loading and saving AlexNet's 244 MB against the bare input and output

Absolute times of a busy machine say little, so every quantity is measured beside a yardstick, the two taking turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caffe_port import Net
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text


class Row(NamedTuple):
    """A measured quantity, its yardstick, and the ratio of medians that is to be reached."""

    name: str
    measured: Callable[[], None]
    yardstick_name: str
    yardstick: Callable[[], None]
    goal: float


def interleaved(rows: Sequence[Row], repeats: int) -> list[tuple[float, float]]:
    """Median seconds of every row and of its yardstick; one turn of each before the first that counts."""
    seconds: list[tuple[list[float], list[float]]] = [([], []) for _ in rows]
    for turn in range(repeats + 1):
        for row, times in zip(rows, seconds):
            for function, record in zip((row.measured, row.yardstick), times):
                start = time.perf_counter()
                function()
                if turn:
                    record.append(time.perf_counter() - start)
    return [(statistics.median(measured), statistics.median(yardstick)) for measured, yardstick in seconds]


def report(rows: Sequence[Row], repeats: int) -> bool:
    """Measure and print a table; whether every goal is reached."""
    print(f"{'':24}{'ms':>8}  {'yardstick':36}{'ms':>8}{'ratio':>8}{'goal':>8}")
    reached = True
    for row, (measured, yardstick) in zip(rows, interleaved(rows, repeats)):
        ratio = measured / yardstick
        reached &= ratio <= row.goal
        print(
            f"{row.name:24}{measured * 1e3:8.1f}  {row.yardstick_name:36}{yardstick * 1e3:8.1f}"
            f"{ratio:8.2f}{row.goal:8.2f}" + ("" if ratio <= row.goal else "  missed")
        )
    return reached


# -- load -------------------------------------------------------------------------------------------------------------


def alexnet() -> Net:
    """A net with the eight learnable layers of bvlc_alexnet, its weights drawn at random."""
    net_param = parse_text(_ALEXNET, pb.NetParameter)
    net = Net(net_param, seed=1)
    generator = np.random.default_rng(1)
    for param in net.params:
        flat = param.blob.detach().numpy().reshape(-1)
        generator.standard_normal(out=flat, dtype=np.float32)
    return net


_ALEXNET = """
name: "AlexNet"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 96 kernel_size: 11 stride: 4 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 256 pad: 2 kernel_size: 5 group: 2 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3"
  convolution_param { num_output: 384 pad: 1 kernel_size: 3 } }
layer { name: "conv4" type: "Convolution" bottom: "conv3" top: "conv4"
  convolution_param { num_output: 384 pad: 1 kernel_size: 3 group: 2 } }
layer { name: "conv5" type: "Convolution" bottom: "conv4" top: "conv5"
  convolution_param { num_output: 256 pad: 1 kernel_size: 3 group: 2 } }
layer { name: "pool5" type: "Pooling" bottom: "conv5" top: "pool5" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool5" top: "fc6" inner_product_param { num_output: 4096 } }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7" inner_product_param { num_output: 4096 } }
layer { name: "fc8" type: "InnerProduct" bottom: "fc7" top: "fc8" inner_product_param { num_output: 1000 } }
"""


def bench_load(args: argparse.Namespace) -> bool:
    """Loading into a net that exists against reading and copying once; saving against writing, both with fsync.

    All memory (the net, the buffer, the copy) exists and has been touched before. The file is in the page cache.
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
            Row("load", lambda: net.load(weights), "read the file, copy it once", read_and_copy, 1.5),
            Row("save", lambda: net.save(saved), "write the bytes, fsync", write_raw, 2.0),
        ]
        print(f"{weights.stat().st_size / 1e6:.0f} MB of weights, {args.repeats} repeats")
        return report(rows, args.repeats)


def main() -> None:
    """Parse the command line and run one benchmark; status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="benchmark")
    load = commands.add_parser("load", help="weights: load and save", description=bench_load.__doc__)
    load.add_argument("--folder", help="where to put 750 MB of temporary files (default: the system's)")
    load.add_argument("--repeats", type=int, default=9)
    load.set_defaults(run=bench_load)
    args = parser.parse_args()
    sys.exit(0 if args.run(args) else 1)


if __name__ == "__main__":
    main()
