"""Split layers where a blob has several consumers, under Caffe's names (Caffe: insert_splits.cpp).

They are real layers: reference files, caffemodels and pycaffe's ``net.blobs`` hold them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from caffe_port.errors import NetError

Top = tuple[int, int]  #: (layer index, top index)


def insert_splits(net_param: Any) -> Any:
    """A copy of ``net_param`` with a Split layer after every top that is used more than once.

    A non-zero loss_weight counts as one use.

    :raises NetError: a bottom that no layer before it produces.
    """
    sources, uses, loss_weights = _trace(net_param)
    result = type(net_param)()
    result.CopyFrom(net_param)
    del result.layer[:]
    next_split: Counter[Top] = Counter()
    for i, original in enumerate(net_param.layer):
        layer = result.layer.add()
        layer.CopyFrom(original)
        for j, blob in enumerate(original.bottom):
            top = sources[i, j]
            if uses[top] > 1:
                layer.bottom[j] = split_blob_name(net_param.layer[top[0]].name, blob, top[1], next_split[top])
                next_split[top] += 1
        for j, blob in enumerate(original.top):
            if uses[i, j] > 1:
                weight = loss_weights.get((i, j), 0.0)
                _add_split(result.layer.add(), original.name, blob, j, uses[i, j], weight)
                if weight:
                    del layer.loss_weight[:]
                    next_split[i, j] += 1
    return result


def _trace(net_param: Any) -> tuple[dict[Top, Top], Counter[Top], dict[Top, float]]:
    """For each bottom the top it reads; for each top how often it is used, and its loss weight."""
    latest: dict[str, Top] = {}
    sources: dict[Top, Top] = {}
    uses: Counter[Top] = Counter()
    loss_weights: dict[Top, float] = {}
    for i, layer in enumerate(net_param.layer):
        for j, blob in enumerate(layer.bottom):
            if blob not in latest:
                raise NetError(
                    f"Unknown bottom blob '{blob}' (bottom index {j}).",
                    layer=layer.name,
                    layer_type=layer.type,
                    remedy="No layer before this one produces it in this phase, level and stage.",
                )
            sources[i, j] = latest[blob]
            uses[latest[blob]] += 1
        for j, blob in enumerate(layer.top):
            latest[blob] = (i, j)
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            top = latest[layer.top[j]]
            loss_weights[top] = weight
            if weight:
                uses[top] += 1
    return sources, uses, loss_weights


def split_layer_name(layer: str, blob: str, index: int) -> str:
    """Caffe's name of the Split layer of top ``index`` of ``layer``: ``ip1_ip1_0_split``."""
    return f"{blob}_{layer}_{index}_split"


def split_blob_name(layer: str, blob: str, index: int, copy: int) -> str:
    """Caffe's name of the ``copy``-th top of that Split layer: ``ip1_ip1_0_split_0``."""
    return f"{split_layer_name(layer, blob, index)}_{copy}"


def _add_split(split: Any, layer: str, blob: str, index: int, count: int, loss_weight: float) -> None:
    split.name = split_layer_name(layer, blob, index)
    split.type = "Split"
    split.bottom.append(blob)
    split.top.extend(split_blob_name(layer, blob, index, copy) for copy in range(count))
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0.0] * (count - 1))
