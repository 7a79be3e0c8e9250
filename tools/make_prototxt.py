"""Write the nets and solvers that follow from ``prototxt/alexnet/deploy.prototxt`` (Table I): ``prototxt/table2``, the
paper's Table II, and the rest of ``prototxt/alexnet``.

    python tools/make_prototxt.py
    python tools/make_prototxt.py --classes 3 --last-layer fc8_imt --samples 12345 --to my_nets

The first form writes the files as they are shipped, the second the same files for another application into a folder of
yours. The arms are those of the study (``caffe_port.study.arms``), with a random crop and mirror in training.

Sources: Tajbakhsh et al., IEEE TMI 2016, Tables I and II; BVLC/caffe models/bvlc_alexnet.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.text import format_text
from caffe_port.study.arms import SCRATCH, Arm, Feed, Schedule, deploy, depths, solver, train_val
from caffe_port.study.body import Body

SHIPPED = Path(__file__).resolve().parent.parent / "prototxt"

#: What the shipped files have: two classes, as three of the paper's four applications, and a last layer whose name is
#: not in bvlc_alexnet.caffemodel, so that it starts from its filler.
CLASSES = 2
LAST_LAYER = "fc8_ft"

#: What Table II and Eq. 2 leave open, as we set it for the paper's polyp detection: |X| is 80 % of the 100,000 patches,
#: the others are for validation. (In Table II itself: the defaults of Schedule.)
POLYP = Schedule(samples=80_000, validation=20_000, batch=128, test_batch=50, epochs=30)
#: Batch of alexnet/train_val.prototxt: BVLC's.
BVLC_BATCH = 256


def feed(batch: int) -> Feed:
    """Records of 3 x 256 x 256 from LMDB, less the mean of the pre-training, cropped to Table I's 3 x 227 x 227."""
    transform = pb.TransformationParameter(crop_size=227, mean_file="imagenet_mean.binaryproto")
    return Feed(transform, "train_lmdb", "val_lmdb", batch, POLYP.test_batch, mirror=True)


def base(last_layer: str = LAST_LAYER) -> Body:
    """The shipped AlexNet, whose new last layer will be called ``last_layer``."""
    return replace(Body.of(read_net(SHIPPED / "alexnet" / "deploy.prototxt")), new_last=last_layer)


def arm_solver(arm: str, schedule: Schedule) -> str:
    """The solver of one arm of Table II: Eq. 2, whose rate falls by gamma at the end of each epoch."""
    weights = "" if arm == SCRATCH else "bvlc_alexnet.caffemodel"
    param = solver(schedule, f"{arm}_train_val.prototxt", arm, weights)
    param.solver_mode = pb.SolverParameter.GPU
    comment = (
        f"{title(arm)}\n"
        "# Eq. 2: the rate falls by gamma at the end of each epoch: t N / |X| reaches 1, 2, 3, ... at the stepvalues.\n"
        f"# Open in the paper and ours: |X| = {schedule.samples}, N = {schedule.batch}, {schedule.epochs} epochs; no "
        "weight decay, as Eq. 2 has none;\n"
        f"# a test on all {schedule.validation} patches for validation and a snapshot after each epoch."
    )
    return text(comment, param)


def title(arm: str) -> str:
    """What Table II calls ``arm``."""
    name = "AlexNet scratch" if arm == SCRATCH else f"Fine-tuned AlexNet:{'only ' * (arm == 'fc8')}{arm}"
    return f"Table II of the paper: {name}. See README.md."


def text(comment: str, message: Any) -> str:
    """A file of ``message`` under a ``comment``."""
    return f"# Written by tools/make_prototxt.py. {comment}\n{format_text(message)}"


def files(classes: int = CLASSES, last_layer: str = LAST_LAYER, schedule: Schedule = POLYP) -> dict[str, str]:
    """Path below ``prototxt/`` -> text, for every file that this tool writes."""
    body = base(last_layer)
    written = {
        "alexnet/deploy_ft.prototxt": text(
            "Takes the weights that training train_val.prototxt gives.", deploy(body, classes, (10, 3, 227, 227))
        ),
        "alexnet/train_val.prototxt": text(
            "Table I of the paper, to be fine-tuned from bvlc_alexnet.caffemodel. See README.md.",
            train_val(body, Arm("conv1-fc8"), classes, feed(BVLC_BATCH)),
        ),
    }
    for arm in depths(body):
        comment = (
            f"{title(arm)}\n# alpha is the solver's base_lr times lr_mult. Open in the paper and ours: "
            f"N = {schedule.batch} (batch_size),\n# C = {classes} (num_output of {last_layer}), mean and mirror."
        )
        net = train_val(body, Arm(arm), classes, feed(schedule.batch))
        written[f"table2/{arm}_train_val.prototxt"] = text(comment, net)
        written[f"table2/{arm}_solver.prototxt"] = arm_solver(arm, schedule)
    return written


def main() -> None:
    """Write the files."""
    assert __doc__
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("--classes", type=int, default=CLASSES, help=f"C of Table I (default {CLASSES})")
    parser.add_argument("--last-layer", default=LAST_LAYER, help=f"name of the new last layer (default {LAST_LAYER})")
    for name, what in (("samples", "|X|"), ("validation", "validation patches"), ("batch", "N"), ("epochs", "epochs")):
        value = getattr(POLYP, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} of table2 (default {value})")
    parser.add_argument("--to", type=Path, default=SHIPPED, help="the folder to write into (default prototxt/)")
    given = parser.parse_args()
    if given.classes < 2:
        parser.error("--classes must be 2 or more.")
    if not re.fullmatch(r"[\w./-]+", given.last_layer, re.ASCII):
        parser.error("--last-layer takes letters, digits and _ . / - only.")
    if given.last_layer in [*base().learnable, *(layer.name for layer in base().layers)]:
        parser.error(f"--last-layer {given.last_layer}: the name is taken; weights of bvlc_alexnet would be loaded.")
    if min(given.validation, given.batch, given.epochs) < 1 or given.batch > given.samples:
        parser.error("--validation, --batch and --epochs must be 1 or more, --samples at least --batch.")
    sizes = {name: getattr(given, name) for name in ("samples", "validation", "batch", "epochs")}
    for name, content in files(given.classes, given.last_layer, replace(POLYP, **sizes)).items():
        path = given.to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")


if __name__ == "__main__":
    main()
