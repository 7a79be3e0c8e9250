"""Small run folders made by hand, for the tests of the report: what stands in them is invented."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import cv2
import numpy as np

from caffe_port.study.cases import Candidate, Case
from caffe_port.study.detection import detection_metrics, rows_of
from caffe_port.study.statistics import comparisons, roc

ARMS = ("conv1-ip1", "conv2-ip1", "ip1", "scratch", "scratch+xavier", "scratch+msra")
SETTINGS = {
    "application": "",
    "seed": 3,
    "data": {"train": "images", "test": "", "dataset": "made-up"},
    "base": {
        "net": "net.prototxt",
        "weights": "base.caffemodel",
        "size": [8, 8],
        "channels": 3,
        "mean": [104.0, 117.0, 123.0],
    },
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


def write_run(folder, application, arms, handcrafted, comparisons, prefix="", number=72):
    """The files that every run has; ``number`` cases, a third in each part, two of each patient."""
    folder.mkdir(parents=True, exist_ok=True)
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
    parts = ("train", "val", "test")
    cases = [(f"{prefix}case{n}", f"patient{n // 2}", parts[3 * n // number], "") for n in range(number)]
    write_table(folder / "cases.csv", ("case", "patient", "split", "label"), cases)
    patches = [
        (n, n % (3 if application == "interfaces" else 2), *cases[n % (2 * number // 3)][:3], "") for n in range(600)
    ]
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
    smaller = {
        f"{arm}@0.05": random.normal(size=120) + shift * labels for arm, shift in (("conv1-ip1", 2), ("scratch", 1))
    }
    arms |= {arm: {**entry(values), **common(arm)} for arm, values in smaller.items()}
    pairs = [{**vars(test), "measure": "auc"} for test in comparisons.auc_tests(scores, labels)]
    write_run(folder, "frames", arms, handcrafted, pairs, prefix)
    frames = [(f"frame{n}", f"video{n // 10}", label) for n, label in enumerate(labels)]
    rows = [
        (arm, *frame, score)
        for arm, values in {**scores, **smaller}.items()
        for frame, score in zip(frames, values, strict=True)
    ]
    write_table(folder / "scores.csv", ("arm", "case", "patient", "label", "score"), rows)
    return folder


def lesion_of(case, number):
    return f"{case.patient}/{number}"


def detection_run(folder, application, points, units, lesions, rate, prefix="", ease=1.0):
    """Arms with invented scores of the same candidates: of ``lesions`` all but each fifth are hit, up to three times,
    and there are ``rate`` false candidates per unit. The handcrafted arm has no model."""
    random = np.random.default_rng(2)
    found = [n for n in range(lesions) if n % 5]
    hits = [n for n in found for _ in range(1 + n % 3)]
    shifts = {
        "conv1-ip1": 3.6, "conv2-ip1": 3.4, "conv3-ip1": 3.2, "ip1": 1.4, "scratch": 2.6, "scratch+msra": 2.5,
        "conv1-ip1@0.5": 3.2, "conv1-ip1@0.25": 2.9, "scratch@0.5": 1.8, "scratch@0.25": 1.2, "handcrafted": 0.8,
    }  # fmt: skip
    cases = [Case(f"{prefix}case{n}", f"patient{n // 2}") for n in range(2 * units, 3 * units)]
    places = [(n % units, lesion_of(cases[n % units], n)) for n in hits]
    places += [(n % units, "") for n in range(round(rate * units))]
    for n in range(lesions):
        case = cases[n % units]
        cases[n % units] = replace(case, lesions=(*case.lesions, lesion_of(case, n)))
    for number, (place, lesion) in enumerate(places):
        case = cases[place]
        cases[place] = replace(case, candidates=(*case.candidates, Candidate(f"x={number},y=1", 0.5, lesion)))
    hit = np.array([bool(candidate.lesion) for case in cases for candidate in case.candidates])
    noise = random.normal(size=len(hit))

    def entry(shift):
        scores = noise + 0.4 * random.normal(size=len(noise)) + ease * shift * hit
        return detection_metrics(rows_of(cases, scores), cases, points)

    arms = {arm: entry(shift) for arm, shift in shifts.items()}
    handcrafted = without_model(arms.pop("handcrafted"))
    arms = {arm: {**of_arm, **common(arm)} for arm, of_arm in arms.items()}
    write_run(folder, application, arms, handcrafted, [], prefix, 3 * units)
    rows = [
        (f"{prefix}case{part * units + n}", f"patient{(part * units + n) // 2}", each.id, each.lesion, each.score, "{}")
        for part in range(3)
        for n, case in enumerate(cases)
        for each in case.candidates
    ]
    write_table(folder / "candidates.csv", ("case", "patient", "candidate", "lesion", "score", "info"), rows)
    write_nets(folder, ("conv1-ip1", "conv2-ip1", "conv3-ip1", "ip1", "scratch"))
    return folder


def without_model(entry):
    """An arm's entry as it is where the model cannot be fitted."""
    points = {
        point: {key: value for key, value in at.items() if not key.startswith("model")}
        for point, at in entry["sensitivity_at_fp"].items()
    }
    return {**entry, "model": None, "sensitivity_at_fp": points}


def polyps_run(folder, prefix=""):
    """Frames of colonoscopy videos; the handcrafted arm has no model."""
    return detection_run(folder, "polyps", (0.01, 0.001), 1200, 40, 0.2, prefix, 0.8)


def embolism_run(folder, prefix=""):
    """CT volumes, of whose candidates no arm makes more than 4.5 false positives per volume."""
    return detection_run(folder, "embolism", (1, 2, 3, 4, 5), 20, 60, 4.5, prefix, 0.5)


def write_nets(folder, arms):
    """The nets of arms of three convolutions and a last layer, as the study writes them, with their learning rates."""
    layers = [f"conv{n}" for n in (1, 2, 3)]
    for arm in arms:
        first = 0 if arm == "scratch" else [*layers, "ip1"].index(arm.partition("-")[0])
        text = 'layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "lmdb/train" } }\n'
        bottom = "data"
        for number, name in enumerate(layers):
            rate = int(number >= first)
            text += (
                f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
                f"param {{ lr_mult: {rate} }} param {{ lr_mult: {2 * rate} }} "
                "convolution_param { num_output: 4 kernel_size: 3 } }\n"
            )
            bottom = name
        text += (
            f'layer {{ name: "ip1" type: "InnerProduct" bottom: "{bottom}" top: "ip1" '
            "inner_product_param { num_output: 2 } }\n"
            'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }\n'
        )
        (folder / "arms" / arm).mkdir(parents=True, exist_ok=True)
        (folder / "arms" / arm / "train_val.prototxt").write_text(text)


RUNS = {"polyps": polyps_run, "embolism": embolism_run, "frames": frames_run, "interfaces": interfaces_run}
