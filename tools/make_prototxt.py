"""Write ``prototxt/alexnet`` and ``prototxt/table2`` from one description: the paper's Tables I and II.

    python tools/make_prototxt.py
    python tools/make_prototxt.py --classes 3 --last-layer fc8_imt --samples 12345 --to my_nets

The first form writes the files as they are shipped, the second the same files for another application into a folder of
yours. Needs nothing but Python.

Sources: Tajbakhsh et al., IEEE TMI 2016, Tables I and II; BVLC/caffe models/bvlc_alexnet (names, groups, LRN, fillers).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).resolve().parent.parent / "prototxt"

#: What the shipped files have: two classes, as three of the paper's four applications, and a last layer whose name is
#: not in bvlc_alexnet.caffemodel, so that it starts from its filler.
CLASSES = 2
LAST_LAYER = "fc8_ft"

#: Classes of the published weights, and the name of their last layer.
BVLC_CLASSES = 1000
BVLC_LAST_LAYER = "fc8"


@dataclass(frozen=True)
class Learnable:
    """One row of Table I with weights. ``kernel`` 0: fully connected. ``std`` and ``bias`` are the fillers' values."""

    name: str
    num_output: int
    std: float
    bias: float
    kernel: int = 0
    stride: int = 1
    pad: int = 0
    group: int = 1
    followed_by: tuple[str, ...] = ("relu",)


ROWS = (
    Learnable("conv1", 96, 0.01, 0, kernel=11, stride=4, followed_by=("relu", "norm", "pool")),
    Learnable("conv2", 256, 0.01, 0.1, kernel=5, pad=2, group=2, followed_by=("relu", "norm", "pool")),
    Learnable("conv3", 384, 0.01, 0, kernel=3, pad=1),
    Learnable("conv4", 384, 0.01, 0.1, kernel=3, pad=1, group=2),
    Learnable("conv5", 256, 0.01, 0.1, kernel=3, pad=1, group=2, followed_by=("relu", "pool")),
    Learnable("fc6", 4096, 0.005, 0.1, followed_by=("relu", "drop")),
    Learnable("fc7", 4096, 0.005, 0.1, followed_by=("relu", "drop")),
)

#: Table II: the learning rate of the weights of each row of Table I; base_lr is that of the solver files.
BASE_LR, MOMENTUM, GAMMA = 0.001, 0.9, 0.95
TUNE_ALL: Mapping[str, float] = {row.name: 0.001 for row in ROWS} | {"fc8": 0.01}


def tune_from(first: str) -> dict[str, float]:
    """The rates that fine-tune the layers from ``first`` to the last and freeze those before."""
    names = list(TUNE_ALL)
    return {name: TUNE_ALL[name] if names.index(name) >= names.index(first) else 0.0 for name in names}


#: The nine arms of Table II by file name: what the table calls them, and their rates.
ARMS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    **{f"{row.name}-fc8": (f"Fine-tuned AlexNet:{row.name}-fc8", tune_from(row.name)) for row in ROWS},
    "fc8": ("Fine-tuned AlexNet:only fc8", tune_from("fc8")),
    "scratch": ("AlexNet scratch", {**TUNE_ALL, "fc8": 0.001}),
}


@dataclass(frozen=True)
class Schedule:
    """What Table II and Eq. 2 leave open, as we set it for the paper's polyp detection.

    |X| is 80 % of the 100,000 patches, the others are for validation; N is ``batch``.
    """

    samples: int = 80_000
    validation: int = 20_000
    batch: int = 128
    epochs: int = 30

    def start(self, epoch: int) -> int:
        """The first iteration t of ``epoch`` (counted from 0): the least with floor(t N / |X|) = epoch."""
        return -(-epoch * self.samples // self.batch)


POLYP = Schedule()
TEST_BATCH = 50


def layer(name: str, kind: str, bottoms: Iterable[str], tops: Iterable[str], *lines: str) -> str:
    """One ``layer { }`` with the remaining ``lines`` as they are."""
    body = [f'name: "{name}"', f'type: "{kind}"']
    body += [f'bottom: "{blob}"' for blob in bottoms] + [f'top: "{blob}"' for blob in tops]
    return "\n".join(["layer {", *(f"  {line}" for line in [*body, *lines]), "}\n"])


def rate_lines(rate: float) -> list[str]:
    """The two ``param``: the bias learns twice as fast as the weights (Table II) and does not decay."""
    multiple = rate / BASE_LR
    return [f"param {{ lr_mult: {m:g} decay_mult: {decay} }}" for m, decay in ((multiple, 1), (2 * multiple, 0))]


def learnable_layer(row: Learnable, bottom: str, top: str, rate: float | None) -> str:
    """The Convolution or InnerProduct of ``row``; with a ``rate`` also what training needs: rates and fillers."""
    kind, field = ("Convolution", "convolution_param") if row.kernel else ("InnerProduct", "inner_product_param")
    values = [f"num_output: {row.num_output}"]
    if row.kernel:
        window = [(key, getattr(row, key)) for key in ("pad", "stride", "group")]
        values.append(f"kernel_size: {row.kernel}")
        values += [f"{key}: {n}" for key, n in window if n != getattr(Learnable, key)]  # the defaults are Caffe's
    fillers = [
        f'weight_filler {{ type: "gaussian" std: {row.std:g} }}',
        f'bias_filler {{ type: "constant" value: {row.bias:g} }}',
    ]
    if rate is None:
        return layer(row.name, kind, [bottom], [top], f"{field} {{ {' '.join(values)} }}")
    inside = [f"  {line}" for line in [" ".join(values), *fillers]]
    return layer(row.name, kind, [bottom], [top], *rate_lines(rate), f"{field} {{", *inside, "}")


def body(classes: int, last_layer: str, rates: Mapping[str, float] | None) -> str:
    """Everything from blob ``data`` to blob ``fc8``.

    :param rates: learning rate of the weights by row of Table I (``fc8`` for the last one, whatever its name), 0 for a
        frozen layer; None leaves out rates and fillers, which only training needs.
    """
    parts, bottom = [], "data"
    for row in ROWS:
        parts.append(learnable_layer(row, bottom, row.name, None if rates is None else rates[row.name]))
        bottom, number = row.name, row.name[-1]
        for what in row.followed_by:
            parts.append(follower(what, number, bottom))
            bottom = f"{what}{number}" if what in ("norm", "pool") else bottom
    last = Learnable(last_layer, classes, 0.01, 0)
    parts.append(learnable_layer(last, bottom, "fc8", None if rates is None else rates["fc8"]))
    return "".join(parts)


def follower(what: str, number: str, bottom: str) -> str:
    """A layer without weights: relu and drop in-place, norm and pool with a blob of their own."""
    name = f"{what}{number}"
    if what == "relu":
        return layer(name, "ReLU", [bottom], [bottom])
    if what == "drop":
        return layer(name, "Dropout", [bottom], [bottom], "dropout_param { dropout_ratio: 0.5 }")
    if what == "norm":
        return layer(name, "LRN", [bottom], [name], "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    return layer(name, "Pooling", [bottom], [name], "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")


def data_layer(phase: str, source: str, batch_size: int) -> str:
    """Records of 3 x 256 x 256 from LMDB, less the mean of the pre-training, cropped to Table I's 3 x 227 x 227."""
    mirror = " mirror: true" if phase == "TRAIN" else ""
    return layer(
        "data",
        "Data",
        [],
        ["data", "label"],
        f"include {{ phase: {phase} }}",
        f'transform_param {{{mirror} crop_size: 227 mean_file: "imagenet_mean.binaryproto" }}',
        f'data_param {{ source: "{source}" batch_size: {batch_size} backend: LMDB }}',
    )


#: What stands above prototxt/alexnet/train_val.prototxt.
TRAIN_COMMENT = "Table I of the paper, to be fine-tuned from bvlc_alexnet.caffemodel. See README.md."


def train_val(
    classes: int,
    last_layer: str,
    rates: Mapping[str, float] = TUNE_ALL,
    batch: int = 256,
    comment: str = TRAIN_COMMENT,
) -> str:
    """The net to train; one arm of Table II is one ``rates`` (see :func:`body`)."""
    return "".join(
        [
            heading(comment) + 'name: "AlexNet"\n',
            data_layer("TRAIN", "train_lmdb", batch),
            data_layer("TEST", "val_lmdb", TEST_BATCH),
            body(classes, last_layer, rates),
            layer("accuracy", "Accuracy", ["fc8", "label"], ["accuracy"], "include { phase: TEST }"),
            layer("loss", "SoftmaxWithLoss", ["fc8", "label"], ["loss"]),
        ]
    )


def deploy(classes: int, last_layer: str, comment: str) -> str:
    """The net to run: images in ``data``, probabilities out of ``prob``."""
    shape = "input_param { shape { dim: 10 dim: 3 dim: 227 dim: 227 } }"
    return "".join(
        [
            heading(comment) + 'name: "AlexNet"\n',
            layer("data", "Input", [], ["data"], shape),
            body(classes, last_layer, rates=None),
            layer("prob", "Softmax", ["fc8"], ["prob"]),
        ]
    )


def arm_train_val(arm: str, classes: int, last_layer: str, schedule: Schedule) -> str:
    """The net of one arm of Table II."""
    name, rates = ARMS[arm]
    comment = (
        f"Table II of the paper: {name}. See README.md.\n"
        "# alpha is the solver's base_lr times lr_mult. Open in the paper and ours: "
        f"N = {schedule.batch} (batch_size),\n# C = {classes} (num_output of {last_layer}), mean and mirror."
    )
    return train_val(classes, last_layer, rates, schedule.batch, comment)


def arm_solver(arm: str, schedule: Schedule) -> str:
    """The solver of one arm of Table II: Eq. 2, whose rate falls by gamma at the end of each epoch."""
    steps = [f"stepvalue: {schedule.start(epoch)}" for epoch in range(1, schedule.epochs)]
    epoch = schedule.start(1)
    lines = [
        f'net: "{arm}_train_val.prototxt"',
        *(['weights: "bvlc_alexnet.caffemodel"'] if arm != "scratch" else []),
        f"base_lr: {BASE_LR}",
        f"momentum: {MOMENTUM}",
        f"gamma: {GAMMA}",
        'lr_policy: "multistep"',
        "# Eq. 2: the rate falls by gamma at the end of each epoch; t N / |X| reaches 1, 2, 3, ... at iteration t =",
        *(" ".join(steps[i : i + 6]) for i in range(0, len(steps), 6)),
        f"# Open in the paper and ours: |X| = {schedule.samples}, N = {schedule.batch}, {schedule.epochs} epochs; no "
        "weight decay, as Eq. 2 has none;",
        f"# a test on all {schedule.validation} patches for validation and a snapshot after each epoch.",
        f"max_iter: {schedule.start(schedule.epochs)}",
        "weight_decay: 0",
        f"test_iter: {-(-schedule.validation // TEST_BATCH)}",
        f"test_interval: {epoch}",
        f"display: {max(1, epoch // 5)}",
        f"snapshot: {epoch}",
        f'snapshot_prefix: "{arm}"',
        "solver_mode: GPU",
    ]
    return heading(f"Table II of the paper: {ARMS[arm][0]}. See README.md.") + "\n".join(lines) + "\n"


def heading(comment: str) -> str:
    """The comment at the top of a file."""
    return f"# Written by tools/make_prototxt.py. {comment}\n"


def files(classes: int = CLASSES, last_layer: str = LAST_LAYER, schedule: Schedule = POLYP) -> dict[str, str]:
    """Path below ``prototxt/`` -> text, for every file that this tool writes."""
    published = "Takes the whole of bvlc_alexnet.caffemodel."
    tuned = "Takes the weights that training train_val.prototxt gives."
    written = {
        "alexnet/deploy.prototxt": deploy(BVLC_CLASSES, BVLC_LAST_LAYER, published),
        "alexnet/deploy_ft.prototxt": deploy(classes, last_layer, tuned),
        "alexnet/train_val.prototxt": train_val(classes, last_layer),
    }
    for arm in ARMS:
        written[f"table2/{arm}_train_val.prototxt"] = arm_train_val(arm, classes, last_layer, schedule)
        written[f"table2/{arm}_solver.prototxt"] = arm_solver(arm, schedule)
    return written


def main() -> None:
    """Write the files."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    if any(f'name: "{given.last_layer}"' in text for text in files(BVLC_CLASSES, BVLC_LAST_LAYER).values()):
        parser.error(f"--last-layer {given.last_layer}: the name is taken; weights of bvlc_alexnet would be loaded.")
    if min(given.validation, given.batch, given.epochs) < 1 or given.batch > given.samples:
        parser.error("--validation, --batch and --epochs must be 1 or more, --samples at least --batch.")
    schedule = Schedule(given.samples, given.validation, given.batch, given.epochs)
    for name, text in files(given.classes, given.last_layer, schedule).items():
        path = given.to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
