"""Small run folders made by hand, for the tests of the report: what stands in them is invented."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np

from caffe_port.study.statistics import comparisons, roc

ARMS = ("conv1-ip1", "conv2-ip1", "ip1", "scratch", "scratch+xavier", "scratch+msra")
SETTINGS = {
    "application": "",
    "seed": 3,
    "data": {"train": "images", "test": "", "dataset": "made-up"},
    "base": {"net": "net.prototxt", "weights": "base.caffemodel", "size": [32, 32], "mean": [104.0, 117.0, 123.0]},
    "training": {"base_lr": 0.0003, "epochs": 8, "mirror": False},
    "arms": {"list": [], "reduce_by": "patient"},
}


def write_table(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def curve(arm, epochs=8):
    """An invented validation AUC by epoch."""
    start, end, speed = (0.6, 0.93, 0.3) if arm.startswith("scratch") else (0.8, 0.96, 0.9)
    return [round(end - (end - start) * np.exp(-speed * n) - 0.002 * max(0, n - 5), 4) for n in range(epochs)]


def common(arm):
    return {"epochs": 8, "seconds": 61.5 + len(arm), "validation_auc": curve(arm)}


def write_run(folder, application, arms, handcrafted, comparisons, prefix=""):
    settings = {**SETTINGS, "application": application, "arms": {**SETTINGS["arms"], "list": [*arms, "unfinished"]}}
    metrics = {
        "application": application,
        "arms": arms,
        "handcrafted": handcrafted,
        "comparisons": comparisons,
        "settings": settings,
        "versions": {"caffe_port": "0.1.0", "torch": "2.13.0"},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    cases = [(f"{prefix}case{n}", f"patient{n // 2}", ("train", "val", "test")[n // 24], "") for n in range(72)]
    write_table(folder / "cases.csv", ("case", "patient", "split", "label"), cases)
    patches = [(n, n % (3 if application == "interfaces" else 2), *cases[n % 48][:3], "") for n in range(600)]
    write_table(folder / "patches.csv", ("patch", "label", "case", "patient", "split", "candidate"), patches)
    return folder


def interfaces_run(folder, prefix=""):
    """Arms with invented errors of 24 regions, one arm on a tenth of the data, a picture."""
    random = np.random.default_rng(0)
    regions = [f"{prefix}case{n}" for n in range(48, 72)]
    difficulty = random.gamma(4, 0.02, len(regions))

    def entry(factor):
        made = {}
        for key, size in (("lumen_intima", 1.0), ("media_adventitia", 1.2), ("imt", 0.9)):
            errors = size * factor * difficulty * random.uniform(0.8, 1.25, len(regions))
            made[f"{key}_error_mm"] = {
                "mean": float(errors.mean()),
                "sd": float(errors.std(ddof=1)),
                "per_roi": dict(zip(regions, errors.tolist(), strict=True)),
            }
        return made

    factors = dict(zip(ARMS, (1.0, 1.02, 1.6, 1.1, 1.12, 1.05), strict=True)) | {
        "conv1-ip1@0.1": 1.3, "conv1-ip1@0.1~2": 1.5, "scratch@0.1": 1.9, "scratch@0.1~2": 2.1,
    }  # fmt: skip
    arms = {arm: {**entry(factor), **common(arm)} for arm, factor in factors.items()}
    handcrafted = entry(1.4)
    pairs = []
    whole = {**{arm: arms[arm] for arm in ("conv1-ip1", "conv2-ip1", "ip1", "scratch")}, "handcrafted": handcrafted}
    for measure in handcrafted:
        errors = {name: list(of_arm[measure]["per_roi"].values()) for name, of_arm in whole.items()}
        pairs += [{**vars(test), "measure": measure} for test in comparisons.error_tests(errors)]
    write_run(folder, "interfaces", arms, handcrafted, pairs, prefix)
    (folder / "arms" / "conv1-ip1" / "pictures").mkdir(parents=True)
    picture = np.add.outer(np.arange(60), np.arange(90)).astype(np.uint8)
    cv2.imwrite(str(folder / "arms" / "conv1-ip1" / "pictures" / "case48.png"), picture)
    return folder


def frames_run(folder, prefix=""):
    """Arms with invented scores of 120 frames."""
    random = np.random.default_rng(1)
    labels = np.arange(120) % 2
    shifts = {"conv1-ip1": 2.2, "conv2-ip1": 2.3, "ip1": 1.2, "scratch": 1.9, "scratch+msra": 1.8, "handcrafted": 0.9}
    scores = {arm: random.normal(size=120) + shift * labels for arm, shift in shifts.items()}

    def entry(values):
        area = roc.auc(values, labels)
        points = roc.tpr_at_fpr(values, labels)
        return {
            "auc": area.estimate,
            "auc_ci95": [area.low, area.high],
            "tpr_at_fpr": {
                f"{rate:g}": {"tpr": point.estimate, "ci95": [point.low, point.high]}
                for rate, point in zip(roc.FPR, points, strict=True)
            },
        }

    entries = {arm: entry(values) for arm, values in scores.items()}
    handcrafted = entries.pop("handcrafted")
    arms = {arm: {**of_arm, **common(arm)} for arm, of_arm in entries.items()}
    arms["conv1-ip1@0.05"] = {**entry(scores["ip1"]), **common("conv1-ip1")}
    pairs = [{**vars(test), "measure": "auc"} for test in comparisons.auc_tests(scores, labels)]
    write_run(folder, "frames", arms, handcrafted, pairs, prefix)
    frames = [(f"frame{n}", f"video{n // 10}", label) for n, label in enumerate(labels)]
    rows = [(arm, *frame, score) for arm, values in scores.items() for frame, score in zip(frames, values, strict=True)]
    write_table(folder / "scores.csv", ("arm", "case", "patient", "label", "score"), rows)
    return folder
