"""Write the AlexNet files of ``prototxt/`` from one description: Table I of the paper on BVLC's bvlc_alexnet.

    python tools/make_prototxt.py
    python tools/make_prototxt.py --classes 3 --last-layer fc8_imt --to my_nets

The first form writes the files as they are shipped, the second the same files for another number of classes into a
folder of yours. Needs nothing but Python.

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
BASE_LR = 0.001
TUNE_ALL: Mapping[str, float] = {row.name: 0.001 for row in ROWS} | {"fc8": 0.01}


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


def train_val(classes: int, last_layer: str, rates: Mapping[str, float] = TUNE_ALL) -> str:
    """The net to train; one arm of Table II is one ``rates`` (see :func:`body`)."""
    return "".join(
        [
            heading("Table I of the paper, to be fine-tuned from bvlc_alexnet.caffemodel. See README.md."),
            data_layer("TRAIN", "train_lmdb", 256),
            data_layer("TEST", "val_lmdb", 50),
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
            heading(comment),
            layer("data", "Input", [], ["data"], shape),
            body(classes, last_layer, rates=None),
            layer("prob", "Softmax", ["fc8"], ["prob"]),
        ]
    )


def heading(comment: str) -> str:
    """The lines in front of the first layer."""
    return f'# Written by tools/make_prototxt.py. {comment}\nname: "AlexNet"\n'


def files(classes: int = CLASSES, last_layer: str = LAST_LAYER) -> dict[str, str]:
    """Path below ``prototxt/`` -> text, for every file that this tool writes."""
    published = "Takes the whole of bvlc_alexnet.caffemodel."
    tuned = "Takes the weights that training train_val.prototxt gives."
    return {
        "alexnet/deploy.prototxt": deploy(BVLC_CLASSES, BVLC_LAST_LAYER, published),
        "alexnet/deploy_ft.prototxt": deploy(classes, last_layer, tuned),
        "alexnet/train_val.prototxt": train_val(classes, last_layer),
    }


def main() -> None:
    """Write the files."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=CLASSES, help=f"C of Table I (default {CLASSES})")
    parser.add_argument("--last-layer", default=LAST_LAYER, help=f"name of the new last layer (default {LAST_LAYER})")
    parser.add_argument("--to", type=Path, default=SHIPPED, help="the folder to write into (default prototxt/)")
    given = parser.parse_args()
    if given.classes < 2:
        parser.error("--classes must be 2 or more.")
    if not re.fullmatch(r"[\w./-]+", given.last_layer, re.ASCII):
        parser.error("--last-layer takes letters, digits and _ . / - only.")
    if any(f'name: "{given.last_layer}"' in text for text in files(BVLC_CLASSES, BVLC_LAST_LAYER).values()):
        parser.error(f"--last-layer {given.last_layer}: the name is taken; weights of bvlc_alexnet would be loaded.")
    for name, text in files(given.classes, given.last_layer).items():
        path = given.to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
