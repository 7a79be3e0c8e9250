"""Measure caffe_port on this machine, as ratios of medians within one run.

python tools/bench.py load     weights: loading and saving AlexNet's 244 MB against the bare input and output
python tools/bench.py train    the AlexNet training step against plain torch modules
python tools/bench.py lenet    an iteration of LeNet against a plain loop, and what a layer costs beside its arithmetic
python tools/bench.py frozen   training fc8 alone on features that are computed once against training on the images
python tools/bench.py infer    AlexNet's forward against plain torch modules and OpenCV's dnn module
python tools/bench.py dense    a patch classifier at every pixel of a region against patch by patch
python tools/bench.py data     images read from an LMDB against what the AlexNet training step takes

Absolute times of a busy machine say little, so every quantity is measured beside a yardstick, the two taking turns. On
a machine with other work, --clock cpu --threads 1 counts the time that the processor spent on it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from benchmarks import data, dense, frozen, infer, lenet, load, train
from benchmarks.timing import CLOCKS

BENCHMARKS = {
    "load": load,
    "train": train,
    "lenet": lenet,
    "frozen": frozen,
    "infer": infer,
    "dense": dense,
    "data": data,
}


def main() -> None:
    """Parse the command line and run one benchmark; status 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="benchmark")
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, description=module.run.__doc__)
        command.add_argument("--repeats", type=int, default=9, help="turns that count (default 9)")
        command.add_argument("--threads", type=int, default=2, help="default 2; 1 for lenet, infer and dense")
        command.add_argument("--clock", choices=list(CLOCKS), default="wall", help="default: wall")
        module.add_options(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sys.exit(0 if args.run(args) else 1)


if __name__ == "__main__":
    main()
