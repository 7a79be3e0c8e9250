"""Forward passes of a net over its test batches, and means of its outputs (Caffe: solver.cpp, Test; caffe.cpp,
test)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from caffe_port.errors import NetError
from caffe_port.layers.base import Layer, format_shape
from caffe_port.log import log
from caffe_port.net import Net
from caffe_port.solver.passes import Passed, test_pass


@dataclass
class Evaluation:
    """Means over the batches: of the weighted loss, and of each output blob, value by value."""

    loss: float = 0.0
    means: dict[str, np.ndarray] = field(default_factory=dict)


def evaluate(
    net: Net,
    iterations: int,
    run: Callable[[Net], Passed] = test_pass,
    go_on: Callable[[], bool] = lambda: True,
    each: Callable[[int, float, Mapping[str, np.ndarray]], None] | None = None,
) -> Evaluation:
    """Run ``iterations`` batches through ``net``.

    :param run: gives the outputs and the loss of one batch.
    :param go_on: asked before every batch; the result is partial once it says no.
    :param each: sees batch number, loss and outputs of every batch.
    """
    losses: list[float] = []
    sums: dict[str, np.ndarray] = {}
    for index in range(iterations):
        if not go_on():
            break
        blobs, loss = run(net)
        losses.append(float(loss))
        outputs = {name: blobs[name].float().cpu().numpy().ravel().astype(np.float64) for name in net.outputs}
        for name, values in outputs.items():
            if values.shape != sums.setdefault(name, np.zeros_like(values)).shape:
                raise NetError(
                    f"Output '{name}' has {values.size} values in batch {index}, {sums[name].size} before.",
                    file=net.source,
                    remedy="Means need as many in every batch: give the blob to a Silence layer.",
                )
            sums[name] += values
        if each:
            each(index, losses[-1], outputs)
    count = max(len(losses), 1)
    return Evaluation(sum(losses) / count, {name: total / count for name, total in sums.items()})


def share_weights(source: Net, target: Net, *, gradients: bool = True) -> None:
    """Let the layers of ``target`` use the blobs of ``source``'s layers of the same name (ShareTrainedLayersWith).

    :param gradients: whether the two have one gradient as well; in Caffe each net has its own.
    :raises NetError: a layer has other blobs in the two nets.
    """
    layers: dict[str, Layer] = {}
    for node in target.nodes:
        layers.setdefault(node.name, node.layer)
    for node in source.nodes:
        layer = layers.get(node.name)
        if layer is None:
            log.info("Ignoring source layer %s", node.name)
            continue
        ours, theirs = layer.blob_shapes, node.layer.blob_shapes
        if ours != theirs:
            raise NetError(
                f"Cannot share its weights with the other net: blobs {_shapes(theirs)} there, {_shapes(ours)} here.",
                file=target.source,
                layer=node.name,
                layer_type=layer.TYPE,
            )
        for index, blob in enumerate(node.layer.blobs):
            if gradients:
                layer.share_blob(index, blob)
            else:
                layer.blobs[index].data = blob.data


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(format_shape(shape) for shape in shapes) or "none"
