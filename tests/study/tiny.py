"""A tiny application on procedural images (stripes of two or three directions), and a base net to fine-tune to it.

Not real data, and no result of it means anything: it exercises the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from caffe_port import Net, rng
from caffe_port.errors import DataError
from caffe_port.study.cases import Case, Patch

SIZE = 12
BASE = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "drop2" type: "Dropout" bottom: "conv2" top: "conv2" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1"
  inner_product_param { num_output: 10 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""


def stripes(label: int, seed: int) -> np.ndarray:
    """A grey image of noisy stripes: across, along, or aslant."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    wave = np.sin((y, x, x + y)[label] * 1.5 + random.uniform(0, 6))
    return np.clip(128 + 40 * wave + random.normal(0, 40, (16, 16)), 0, 255).astype(np.uint8)


def write_data(folder: Path, patients: int = 8, frames: int = 6, classes: int = 2, seed: int = 0) -> Path:
    """``folder`` with images ``<patient>_<frame>_<label>.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for patient in range(patients):
        for frame in range(frames):
            label = frame % classes
            image = stripes(label, seed + 100 * patient + frame)
            cv2.imwrite(str(folder / f"p{patient}_{frame}_{label}.png"), image)
    return folder


def write_base(folder: Path, text: str = BASE) -> tuple[Path, Path]:
    """A net and weights for it, of nothing but chance."""
    folder.mkdir(parents=True, exist_ok=True)
    net, weights = folder / "tiny.prototxt", folder / "tiny.caffemodel"
    net.write_text(text)
    Net(net, seed=3).save(weights)
    return net, weights


def load(folder: Path) -> list[Case]:
    paths = sorted(folder.glob("*_*_*.png"))
    if not paths:
        raise DataError("holds no stripes.", file=folder)
    return [Case(p.stem, p.stem.split("_")[0], int(p.stem.split("_")[2]), {"path": str(p)}) for p in paths]


class Tiny:
    """Three random windows of each image are its patches; the score of an image is that of its centre."""

    name = "tiny"
    classes = 2
    class_names: tuple[str, ...] = ("across", "along")
    positive: tuple[int, ...] = (1,)
    reduce_by = "patient"
    padding = True
    mean: tuple[float, ...] = ()
    training: Mapping[str, Any] = {}
    datasets = {"stripes": load}
    defaults: Mapping[str, Any] = {"windows": 3, "keep": 1.0}

    def detect(self, data: Path) -> str:
        return "stripes"

    def patches(self, cases, settings, seed, progress):
        for done, case in enumerate(cases, 1):
            random = rng.numpy_generator(seed, case.id)
            image = cv2.imread(case.info["path"], cv2.IMREAD_GRAYSCALE)
            for _ in range(settings.app["windows"] + case.label):  # the classes are not equally frequent
                top, left = random.integers(0, 5, 2)
                window = image[top : top + SIZE, left : left + SIZE]
                yield Patch(window, case.label, case.id, case.patient, f"x={left},y={top}")
            progress(done, len(cases))

    def score(self, net, cases, settings, progress):
        rows = []
        for case in cases:
            image = cv2.imread(case.info["path"], cv2.IMREAD_GRAYSCALE)[2 : 2 + SIZE, 2 : 2 + SIZE]
            with torch.no_grad():
                prob = net(data=settings.base.preprocess([image]))["prob"][0]
            rows.append({"case": case.id, "label": str(case.label), "score": float(prob[1:].sum())})
        progress(len(cases), len(cases))
        return rows

    def handcrafted(self, train, test, settings, progress):
        return [{"case": case.id, "label": str(case.label), "score": 0.5} for case in test]

    def metrics(self, rows, cases, settings):
        return {"auc": float(roc_auc_score([row["label"] != "0" for row in rows], [row["score"] for row in rows]))}

    def pictures(self, net, cases, settings, folder):
        return []


class Tiny3(Tiny):
    """With a third class; the second and third are positive."""

    name = "tiny3"
    classes = 3
    class_names = ("across", "along", "aslant")
    positive = (1, 2)


APPLICATION = Tiny()
