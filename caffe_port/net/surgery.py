"""Nets made from other nets: the layers above a blob, fed with features that were computed once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caffe_port.errors import CaffeWarning, NetError
from caffe_port.net.features import needed_layers
from caffe_port.net.filter import filter_net, net_state, phase_number
from caffe_port.proto import pb

#: Where data layers keep their batch size: a field of the LayerParameter by layer type.
_BATCH_FIELDS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}
#: Types whose blobs a solver changes.
_LEARNABLE = {
    "Bias",
    "Convolution",
    "Deconvolution",
    "Embed",
    "InnerProduct",
    "LSTM",
    "PReLU",
    "Parameter",
    "RNN",
    "Scale",
}


@dataclass(frozen=True)
class FeatureSource:
    """The databases that a head reads in one phase: of the features, and of the labels where it has any."""

    features: str
    labels: str | None = None
    backend: str = "LMDB"


def cut_net(net_param: Any, blob: str, sources: Mapping[str, FeatureSource], batch_size: int | None = None) -> Any:
    """The head of ``net_param`` (upgraded, not filtered) above ``blob``, with Data layers in place of what is below.

    The databases are those that :func:`~caffe_port.net.features.extract_features` wrote: one of ``blob``, one of the
    labels. Layers above, losses and accuracies stay as they are, under their names, so that the same weights load. A
    Dropout that ends the in-place layers of ``blob`` belongs to the head, which draws the same masks.

    With rates of 0 below the cut the head trains as the whole net does, provided that nothing below it is random or
    acts differently in training: of these there is a :class:`~caffe_port.errors.CaffeWarning`, as of layers below the
    cut that the net would train.

    :param sources: by phase (``"TRAIN"``, ``"TEST"``), for every phase in which the net has ``blob``.
    :param batch_size: None: that of the net's data layer in each phase.
    :raises NetError: there is no such blob or nothing above it, a source is missing, or the head needs another blob
        from below than ``blob`` and labels.
    """
    cuts = {phase: found for phase in ("TRAIN", "TEST") if (found := _Cut.find(net_param, phase, blob))}
    if not cuts:
        tops = dict.fromkeys(top for layer in net_param.layer for top in layer.top)
        raise NetError(f"The net has no blob '{blob}'.", remedy=f"It has: {', '.join(tops)}.")
    below = {key for cut in cuts.values() for key in cut.below}
    head = pb.NetParameter()
    head.CopyFrom(net_param)
    del head.layer[:]
    for phase, cut in cuts.items():
        if phase not in sources:
            raise NetError(f"The net has '{blob}' in {phase} phase too, but no database of it is given.")
        head.layer.extend(cut.data_layers(sources[phase], batch_size))
    for layer in net_param.layer:
        if _key(layer) not in below:
            head.layer.add().CopyFrom(layer)
    _warn(cuts)
    return head


@dataclass
class _Cut:
    """Where one phase of a net is cut. ``below`` holds the keys of the layers that the head does without."""

    phase: str
    blob: str
    axes: int
    layers: Sequence[Any]
    below: set[bytes]
    labels: list[str]

    @classmethod
    def find(cls, net_param: Any, phase: str, blob: str) -> _Cut | None:
        """The cut of ``net_param`` in ``phase``; None if it has no ``blob`` there."""
        net = filter_net(net_param, net_state(phase))
        lower = list(needed_layers(net, [blob]).layer)
        if not lower:
            return None
        while lower[-1].type == "Dropout" and list(lower[-1].top) == list(lower[-1].bottom) == [blob]:
            lower.pop()
        below = {_key(layer) for layer in lower}
        upper = [layer for layer in net.layer if _key(layer) not in below]
        cut = cls(phase, blob, _axes(lower, blob), lower, below, [])
        cut._check(list(net.layer), upper)
        return cut

    def _check(self, layers: list[Any], upper: list[Any]) -> None:
        """Every bottom of the head is made by it, is the blob, or is a label, which is noted."""
        labels = {top for layer in self.layers if not layer.bottom for top in layer.top[1:]}
        if not any(self.blob in layer.bottom for layer in upper):
            raise NetError(f"No layer takes '{self.blob}' in {self.phase} phase: there is nothing above it.")
        last = max(i for i, layer in enumerate(layers) if _key(layer) in self.below and self.blob in layer.top)
        made: set[str] = set()
        for layer in upper:
            for name in layer.bottom:
                if name in labels and name not in self.labels and name not in made:
                    self.labels.append(name)
                elif name == self.blob and layers.index(layer) < last:
                    self._refuse(layer, f"takes '{name}' before {layers[last].name} changes it in-place")
                elif name != self.blob and name not in made and name not in labels:
                    self._refuse(layer, f"needs '{name}' from below the cut at '{self.blob}'")
            made.update(layer.top)
        if len(self.labels) > 1:
            names = " and ".join(f"'{name}'" for name in self.labels)
            raise NetError(f"The head needs {names}; only one blob of labels can be read from a database.")

    def _refuse(self, layer: Any, cause: str) -> None:
        raise NetError(
            f"The layer {cause}.",
            remedy="Cut where everything above depends on one blob.",
            layer=layer.name,
            layer_type=layer.type,
        )

    def data_layers(self, source: FeatureSource, batch_size: int | None) -> list[Any]:
        """Data layers for the blob and the label, each with a Reshape from the four axes of Datums to its own."""
        wanted = [(self.blob, source.features, [0, -1] if self.axes == 2 else [])]
        for name in self.labels:
            if source.labels is None:
                raise NetError(f"The head needs '{name}' in {self.phase} phase, but no database of it is given.")
            wanted.append((name, source.labels, [-1]))
        batch = batch_size or self._batch_size()
        made: list[Any] = []
        for name, path, dims in wanted:
            stored = f"{name}_datum" if dims else name
            data = pb.LayerParameter(name=f"{name}_datum", type="Data", top=[stored])
            data.data_param.source = path
            data.data_param.batch_size = batch
            data.data_param.backend = pb.DataParameter.DB.Value(source.backend)
            made.append(data)
            if dims:
                made.append(pb.LayerParameter(name=f"{name}_shape", type="Reshape", bottom=[stored], top=[name]))
                made[-1].reshape_param.shape.dim.extend(dims)
        for layer in made:
            layer.include.add(phase=phase_number(self.phase))
        return made

    def _batch_size(self) -> int:
        for layer in self.layers:
            if layer.type in _BATCH_FIELDS:
                return int(getattr(layer, _BATCH_FIELDS[layer.type]).batch_size)
            if layer.type == "Input" and layer.input_param.shape and layer.input_param.shape[0].dim:
                return int(layer.input_param.shape[0].dim[0])
        raise NetError(f"No data layer of the {self.phase} phase tells a batch size.", remedy="Give a batch size.")

    def random_layers(self) -> list[str]:
        """Layers below whose training differs from what the features hold."""
        return [layer.name for layer in self.layers if self.phase == "TRAIN" and _acts_in_training(layer)]

    def learning_layers(self) -> list[str]:
        """Layers below that the net would train."""
        learning = [layer for layer in self.layers if layer.type in _LEARNABLE and self.phase == "TRAIN"]
        return [layer.name for layer in learning if not layer.param or any(spec.lr_mult for spec in layer.param)]


def _key(layer: Any) -> bytes:
    """What tells the layers of one net apart: names may repeat, phases may hold the same layer."""
    return layer.SerializeToString(deterministic=True)


def _axes(lower: Sequence[Any], blob: str) -> int:
    """2 if ``blob`` comes, through layers that keep the number of axes, from a layer that flattens; else 4."""
    for layer in reversed(lower):
        if blob in layer.top:
            if layer.type == "InnerProduct":
                return 2 if layer.inner_product_param.axis == 1 else 4
            if layer.type == "Flatten":
                return 2 if layer.flatten_param.axis == 1 and layer.flatten_param.end_axis == -1 else 4
            if not layer.bottom:
                return 4
            blob = layer.bottom[0]
    return 4


def _acts_in_training(layer: Any) -> bool:
    """Whether ``layer`` gives other values in training than in testing, or in another order."""
    transform = layer.transform_param
    return (
        layer.type == "Dropout"
        or (layer.type == "BatchNorm" and not layer.batch_norm_param.use_global_stats)
        or (layer.type == "Pooling" and layer.pooling_param.pool == pb.PoolingParameter.STOCHASTIC)
        or bool(transform.mirror or transform.crop_size)
        or layer.image_data_param.shuffle
        or layer.hdf5_data_param.shuffle
        or layer.type == "WindowData"
    )


def _warn(cuts: Mapping[str, _Cut]) -> None:
    for cut in cuts.values():
        if names := cut.random_layers():
            text = "act differently in training, or at random: the features hold what they give in testing."
            warnings.warn(f"Below '{cut.blob}', {', '.join(names)} {text}", CaffeWarning, stacklevel=3)
        if names := cut.learning_layers():
            text = "would be trained in the whole net, and stay as they are in features."
            warnings.warn(f"Below '{cut.blob}', {', '.join(names)} {text}", CaffeWarning, stacklevel=3)
