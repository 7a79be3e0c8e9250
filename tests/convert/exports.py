"""Nets to export, what they should compute, and comparison, for the tests of both targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from caffe_port import Net
from tests.shared import MODELS, ORACLE, ROOT

MODEL_NAMES = sorted(path.parent.name for path in MODELS.glob("*/net.prototxt")) or ["none"]
LAYERS = ORACLE / "layers"

#: Recorded cases of what no target has, and what the error says.
REFUSED = {
    "convolution_axis_0": "one batch axis",
    "im2col_0": "Im2col",
    "embed_0": "Embed",
    "pooling_mask_0": "mask",
    "spp_0": "SPP",
    "batchnorm_test_1": "statistics of the batch",
    "filter_0": "Filter",
    "batchreindex_0": "BatchReindex",
    "lstm_0": "LSTM",
    "rnn_0": "RNN",
    "softmaxwithloss_0": "nothing to export",
    "accuracy_0": "nothing to export",
}
_OTHERS = ("accuracy", "loss_", "withloss", "im2col", "spp", "lstm", "rnn")
#: All other recorded cases but losses and accuracies.
CASES = [
    entry["id"]
    for entry in json.loads((LAYERS / "index.json").read_text())
    if entry["id"] not in REFUSED and not any(word in entry["id"] for word in _OTHERS)
]


def model(name: str) -> Net:
    """A real model of ``shared/models``."""
    return Net(MODELS / name / "net.prototxt", MODELS / name / "weights.caffemodel")


def alexnet() -> Net:
    """The paper's AlexNet with random weights of a size that keeps activations alive."""
    net = Net(ROOT / "prototxt" / "alexnet" / "deploy.prototxt", seed=1)
    generator = torch.Generator().manual_seed(1)
    for param in net.params:
        scale = param.blob[0].numel() ** -0.5 if param.blob.ndim > 1 else 0.1
        torch.nn.init.normal_(param.blob.data, std=scale, generator=generator)
    return net


def case(name: str) -> tuple[Net, dict[str, np.ndarray]]:
    """A recorded layer case in TEST phase, with the recorded weights, and the recording."""
    recorded = dict(np.load(LAYERS / f"{name}.npz"))
    net = Net(LAYERS / f"{name}.prototxt", seed=1)
    for key, value in recorded.items():
        if key.startswith("param/"):
            layer, _, index = key[len("param/") :].rpartition("/")
            net.layer(layer).blobs[int(index)].data.copy_(torch.from_numpy(value))
    return net, recorded


def recorded_inputs(name: str, net: Net) -> dict[str, torch.Tensor]:
    """The inputs that were recorded with a model; random ones where there is no recording."""
    path = MODELS / name / "reference.npz"
    if not path.exists():
        return random_inputs(net)
    recorded = np.load(path)
    return {key: torch.from_numpy(recorded[f"input/{key}"]) for key in net.inputs}


def random_inputs(net: Net, batch: int | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Normal numbers for every input; zeros for labels, so that losses take them."""
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name in net.inputs:
        shape = net.blob_shapes[name] if batch is None else (batch, *net.blob_shapes[name][1:])
        values[name] = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            values[name].zero_()
    return values


def blobs(net: Net, inputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Every blob of ``net`` for ``inputs``."""
    with torch.no_grad():
        return {name: value.numpy() for name, value in net.run(inputs)[0].items()}


def assert_close(ours: Any, wanted: np.ndarray, tolerance: float, name: str) -> None:
    """The same shape, and no value further off than ``tolerance`` times the largest; NaN and infinities alike."""
    ours = np.asarray(ours)
    assert ours.shape == wanted.shape, name
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(ours[~finite], wanted[~finite], err_msg=name)
    scale = max(np.abs(wanted[finite]).max(initial=0), 1e-30)
    error = np.abs(ours[finite] - wanted[finite]).max(initial=0)
    assert error <= tolerance * scale, f"{name}: off by {error:g}, largest value {scale:g}"
