"""pycaffe's Net over :class:`~caffe_port.net.BlobwiseExecutor` (Caffe: pycaffe.py, _caffe.cpp)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port import net as core
from caffe_port.errors import NetError
from caffe_port.net.filter import PHASES
from caffe_port.net.weights import Missing
from caffe_port.pycaffe import mode
from caffe_port.pycaffe.blob import Blob, LayerView
from caffe_port.solver.evaluate import share_weights
from caffe_port.solver.report import loss_weights


def _by_name(args: tuple[Any, ...]) -> dict[str, Any]:
    """Net's arguments after the model in either order: the phase first, or the weights as in old scripts."""
    phase_first = bool(args) and (isinstance(args[0], Integral) or args[0] in PHASES)
    order = ("phase", "level", "stages", "weights") if phase_first else ("weights", "phase")
    if len(args) > len(order):
        raise NetError(f"Net takes a model and then at most {', '.join(order)}; {len(args)} arguments came after it.")
    return dict(zip(order, args))


class Net:
    """pycaffe's Net: every blob's data and diff as writable numpy views, forward and backward from and to any layer.

    ``Net(model, phase)``, ``Net(model, phase, level, stages, weights)`` or the older ``Net(model, weights, phase)``.

    :param missing: ``"log"`` lets ``weights`` lack learnable layers of the net, as :meth:`copy_from` always does.
    :raises CaffeError: the model or the weights are at fault.

    Deviates from Caffe: weights that lack a learnable layer are an error, where Caffe leaves the layer to its filler.
    """

    def __init__(
        self,
        network_file: str | Path | core.Net,
        *args: Any,
        phase: int | str | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
        missing: Missing = "error",
    ) -> None:
        if isinstance(network_file, core.Net):
            self._net = network_file
        else:
            options = {"weights": weights, "phase": phase, "level": level, "stages": stages, **_by_name(args)}
            options["stages"] = options["stages"] or ()
            if options["phase"] is None:
                raise NetError(
                    "No phase is given.", remedy="Write Net(model, caffe.TEST) or Net(model, weights, caffe.TEST)."
                )
            self._net = core.Net(network_file, **options, seed=mode.seed(), missing=missing).to(mode.device())
        self._run = core.BlobwiseExecutor(self._net)
        self.blobs = OrderedDict((name, Blob(blob)) for name, blob in self._run.blobs.items())
        self.layers = [LayerView(node.layer) for node in self._net.nodes]
        self._layer_names = [node.name for node in self._net.nodes]
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers))
        self.params = OrderedDict((name, view.blobs) for name, view in self.layer_dict.items() if view.blobs)
        self.inputs = list(self._net.inputs)
        self.outputs = list(self._net.outputs)
        self.blob_loss_weights = OrderedDict(loss_weights(self._net))
        self.bottom_names = OrderedDict((node.name, list(node.bottoms)) for node in self._net.nodes)
        self.top_names = OrderedDict((node.name, list(node.tops)) for node in self._net.nodes)

    # -- running ------------------------------------------------------------------------------------------------------

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, np.ndarray]:
        """Forward from layer ``start`` to layer ``end`` (names, inclusive).

        :param blobs: names of blobs to return besides the outputs (besides the tops of ``end``, if given).
        :param inputs: arrays for all of the net's inputs, or none of them.
        :return: views of the data of these blobs, by name.
        """
        first = 0 if start is None else self._index(start)
        last = len(self.layers) - 1 if end is None else self._index(end)
        wanted = self._wanted(self.outputs if end is None else self.top_names[end], blobs)
        if inputs:
            if set(inputs) != set(self.inputs):
                raise NetError(
                    "Input blob arguments do not match net inputs.", remedy=f"Give {', '.join(self.inputs)}."
                )
            for name, value in inputs.items():
                self._assign(self.blobs[name].data, value, f"Input '{name}'")
        self._forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **top_diffs: Any
    ) -> dict[str, np.ndarray]:
        """Backward from layer ``start`` down to layer ``end`` (names, inclusive).

        :param diffs: names of blobs whose diffs to return besides the inputs' (besides the bottoms of ``end``, if
            given).
        :param top_diffs: arrays for the diffs of all of the net's outputs, or none of them.
        :return: views of these diffs, by name.
        """
        first = len(self.layers) - 1 if start is None else self._index(start)
        last = 0 if end is None else self._index(end)
        wanted = self._wanted(self.inputs if end is None else self.bottom_names[end], diffs)
        if top_diffs:
            if set(top_diffs) != set(self.outputs):
                raise NetError(
                    "Top diff arguments do not match net outputs.", remedy=f"Give {', '.join(self.outputs)}."
                )
            for name, value in top_diffs.items():
                self._assign(self.blobs[name].diff, value, f"Diff of '{name}'")
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _forward(self, first: int, last: int) -> float:
        self._push()
        loss = self._run.forward(first, last)
        self._pull()
        return loss

    def _backward(self, first: int, last: int) -> None:
        self._push()
        self._run.backward(first, last)
        self._pull()

    def _wanted(self, always: Sequence[str], asked: Sequence[str] | None) -> set[str]:
        names = [asked] if isinstance(asked, str) else asked or ()
        for name in names:
            if name not in self.blobs:
                raise NetError(f"The net has no blob '{name}'.", file=self._net.source)
        return {*always, *names}

    def _index(self, name: str) -> int:
        if name not in self._layer_names:
            raise NetError(f"The net has no layer '{name}'.", file=self._net.source)
        return self._layer_names.index(name)

    @staticmethod
    def _assign(target: np.ndarray, value: Any, what: str) -> None:
        value = np.asarray(value)
        if target.ndim and value.shape[:1] != target.shape[:1]:
            raise NetError(f"{what} is not batch sized: {value.shape} for a blob of {target.shape}.")
        try:
            target[...] = value
        except ValueError:
            raise NetError(f"{what} of shape {value.shape} does not fit the blob of {target.shape}.") from None

    def reshape(self) -> None:
        """Carry the shapes of the input blobs through the net."""
        self._run.reshape()

    # -- weights ------------------------------------------------------------------------------------------------------

    def copy_from(self, path: str | Path) -> None:
        """Copy the weights of every layer whose name the file has; the others are logged."""
        self._push()
        self._net.load(path, missing="log")
        self._pull()

    load_hdf5 = copy_from

    def save(self, path: str | Path) -> None:
        """Write a ``.caffemodel``."""
        self._push()
        self._net.save(path)

    def save_hdf5(self, path: str | Path, write_diff: bool = False) -> None:
        """Write a ``.caffemodel.h5``; ``write_diff`` adds the diffs."""
        self._push()
        self._net.save(path, diffs=write_diff, hdf5=True)

    def share_with(self, other: Net) -> None:
        """Use the learnable blobs of ``other``'s layers of the same names."""
        share_weights(other._net, self._net)
        self._pull()

    def clear_param_diffs(self) -> None:
        """Set the diff of every learnable blob to zero."""
        self._push()
        for parameter in self._net.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        self._pull()

    def _push(self) -> None:
        for view in self.layers:
            for blob in view.blobs:
                blob.push()

    def _pull(self) -> None:
        for view in self.layers:
            for blob in view.blobs:
                blob.pull()
