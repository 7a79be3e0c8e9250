"""Shallow arms on features that are computed once: the frozen layers need not run again in every epoch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeWarning, NetError
from caffe_port.net import Net
from caffe_port.net.features import extract_features
from caffe_port.net.surgery import FeatureSource, cut_net
from caffe_port.proto import pb
from caffe_port.proto.files import read_net, write_text
from caffe_port.study.arms import Arm
from caffe_port.study.body import Body
from caffe_port.study.folder import RunFolder, make_folder
from caffe_port.study.prepare import Bars

_FEATURES, _LABELS = "features", "labels"


def exact_cut(net_param: Any, body: Body, arm: Arm) -> str | None:
    """The blob above which ``net_param`` (an arm's net) trains as it does as a whole; None where there is none.

    It is the highest bottom of a learnable layer below which nothing learns, is random or acts differently in training.
    """
    bottoms = {layer.name: layer.bottom[0] for layer in body.layers}
    sources = {phase: FeatureSource("x", "y") for phase in ("TRAIN", "TEST")}
    for name in reversed(body.learnable[1 : arm.first(body) + 1]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", CaffeWarning)
                cut_net(net_param, bottoms[name], sources)
        except (CaffeWarning, NetError):
            continue
        return str(bottoms[name])
    return None


def pays(net: Net, blob: str) -> bool:
    """Whether the features take no more room than the images: else reading them costs what they save."""
    return _volume(net, blob) <= _volume(net, "data")


def _volume(net: Net, blob: str) -> int:
    size = 1
    for dim in net.blob_shapes[blob][1:]:
        size *= dim
    return size


def write_head(
    folder: RunFolder,
    net_file: Path,
    arm: Arm,
    blob: str,
    counts: dict[str, int],
    weights: str,
    device: str,
    bars: Bars,
) -> Path:
    """The head of the net in ``net_file`` above ``blob``, as a file beside it; computes the features if need be.

    Run from the folder of the run, as all paths in the files are meant from there.

    :param counts: patches by phase, ``TRAIN`` and ``TEST``.
    """
    net = read_net(net_file)
    sources = {}
    for phase, count in counts.items():
        name = f"features/{blob.replace('/', '_')}{arm.subset}_{phase.lower()}"
        sources[phase] = FeatureSource(f"{name}/{_FEATURES}", f"{name}/{_LABELS}")
        if not (folder.root / name).is_dir():
            _compute(folder.root / name, net, phase, blob, count, weights, device, bars)
    head = net_file.with_name("head_train_val.prototxt")
    write_text(cut_net(net, blob, sources), head)
    return head


def _compute(target: Path, net: Any, phase: str, blob: str, count: int, weights: str, device: str, bars: Bars) -> None:
    """Store ``blob`` and the labels of the patches of ``phase``, as a net gives them in testing."""
    reading = _reading(net, phase)
    batch = next(layer.data_param.batch_size for layer in reading.layer if layer.type == "Data")

    def fill(folder: Path) -> None:
        file = folder / "net.prototxt"
        write_text(reading, file)
        with bars(f"Features '{blob}' of {count} patches") as progress:
            extract_features(
                weights, file, [blob, "label"], [folder / _FEATURES, folder / _LABELS], -(-count // batch),
                device=device, progress=progress, records=count,
            )  # fmt: skip

    make_folder(target, fill)


def _reading(net: Any, phase: str) -> Any:
    """``net`` reading in TEST phase what it reads in ``phase``."""
    number = pb.Phase.Value(phase)
    reading = pb.NetParameter(name=net.name)
    for layer in net.layer:
        if layer.type != "Data":
            reading.layer.add().CopyFrom(layer)
        elif layer.include[0].phase == number:
            data = reading.layer.add()
            data.CopyFrom(layer)
            data.ClearField("include")
    return reading
