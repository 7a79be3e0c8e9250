"""pycaffe's Net over :class:`~caffe_port.net.BlobwiseExecutor` (Caffe: pycaffe.py, _caffe.cpp)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port import net as core
from caffe_port.errors import NetError
from caffe_port.layers.blob_views import BlobView
from caffe_port.layers.data.memory_data import MemoryData
from caffe_port.pycaffe import batches
from caffe_port.pycaffe.construct import construct
from caffe_port.pycaffe.layer import view
from caffe_port.pycaffe.nccl import NCCL
from caffe_port.solver.evaluate import share_weights
from caffe_port.solver.passes import Passed, run_pass
from caffe_port.solver.report import loss_weights


class Net:
    """pycaffe's Net: every blob's data and diff as writable numpy views, forward and backward from and to any layer.

    ``Net(model, phase)``, ``Net(model, phase, level, stages, weights)`` or the older ``Net(model, weights, phase)``. As
    in Caffe, learnable layers that ``weights`` lack start from their fillers; a CaffeWarning names them.

    :raises CaffeError: the model or the weights are at fault.
    """

    def __init__(
        self,
        network_file: str | Path | core.Net,
        *args: Any,
        phase: int | str | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | Path | None = None,
    ) -> None:
        if isinstance(network_file, core.Net):
            self._net = network_file
        else:
            self._net = construct(network_file, args, phase, level, stages, weights)
        self._run = core.BlobwiseExecutor(self._net)
        self.blobs = OrderedDict((name, BlobView(blob)) for name, blob in self._run.blobs.items())
        self.layers = [view(node.layer) for node in self._net.nodes]
        self._layer_names = [node.name for node in self._net.nodes]
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers))
        self.params = OrderedDict((name, layer.blobs) for name, layer in self.layer_dict.items() if layer.blobs)
        self.inputs = list(self._net.inputs)
        self.outputs = list(self._net.outputs)
        self.blob_loss_weights = OrderedDict(loss_weights(self._net))
        self.bottom_names = OrderedDict((node.name, list(node.bottoms)) for node in self._net.nodes)
        self.top_names = OrderedDict((node.name, list(node.tops)) for node in self._net.nodes)
        self._blob_names = list(self.blobs)
        self._blobs = list(self.blobs.values())
        self._blob_loss_weights = list(self.blob_loss_weights.values())
        self._inputs = [self._blob_names.index(name) for name in self.inputs]
        self._outputs = [self._blob_names.index(name) for name in self.outputs]

    def _bottom_ids(self, index: int) -> list[int]:
        """Numbers, among the blobs, of the bottoms of layer ``index``."""
        return [self._blob_names.index(name) for name in self._net.nodes[index].bottoms]

    def _top_ids(self, index: int) -> list[int]:
        """Likewise of its tops."""
        return [self._blob_names.index(name) for name in self._net.nodes[index].tops]

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
                self._assign(self.blobs[name].diff, value, f"Diff '{name}'")
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, np.ndarray]:
        """:meth:`forward` over any number of items, a batch of the net's size at a time.

        :param inputs: arrays (n, ...) for all of the net's inputs.
        :return: arrays of n items, by name.
        """
        return batches.forward_all(self, blobs, inputs)

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **arrays: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """:meth:`forward` and :meth:`backward` over any number of items.

        :param arrays: (n, ...) for all of the net's inputs, and for the diffs of all of its outputs, or none of them.
        :return: data and diffs of n items, by name.
        """
        return batches.forward_backward_all(self, blobs, diffs, arrays)

    def _forward(self, first: int, last: int) -> float:
        self._push()
        loss = self._run.forward(first, last)
        self._pull()
        return loss

    def _backward(self, first: int, last: int) -> None:
        self._push()
        self._run.backward(first, last)
        self._pull()

    def _pass(self, net: core.Net, backward: bool) -> Passed:
        """A solver's pass over the whole net, at once, or layer by layer if something is hooked in between."""
        if any(self._run.hooks.values()):
            total = self._run.forward()
            if backward:
                self._run.backward()
            return {name: self._run.blobs[name].value() for name in net.outputs}, total
        traced: dict[str, Tensor] = {}
        inputs = {name: self._run.blobs[name].value() for name in net.inputs}
        blobs, loss = run_pass(net, inputs, backward=backward, traced=traced if backward else None)
        data = {name: value for name, value in blobs.items() if name not in inputs}
        self._run.show(data, {name: tensor.grad for name, tensor in traced.items() if tensor.grad is not None})
        return blobs, loss

    # -- hooks: functions that are called with the number of a layer, in every pass ------------------------------------

    def before_forward(self, callback: Callable[[int], object]) -> None:
        """Call ``callback(i)`` before layer i runs forward."""
        self._hook("before_forward", callback)

    def after_forward(self, callback: Callable[[int], object]) -> None:
        """Call ``callback(i)`` after layer i ran forward."""
        self._hook("after_forward", callback)

    def before_backward(self, callback: Callable[[int], object]) -> None:
        """Call ``callback(i)`` before layer i runs backward, or is passed over."""
        self._hook("before_backward", callback)

    def after_backward(self, callback: Callable[[int], object] | NCCL) -> None:
        """Call ``callback(i)`` after layer i ran backward, or was passed over. An NCCL needs no such call."""
        if not isinstance(callback, NCCL):
            self._hook("after_backward", callback)

    def _hook(self, kind: str, callback: Callable[[int], object]) -> None:
        def call(index: int) -> None:
            self._pull()
            callback(index)
            self._push()

        self._run.hooks[kind].append(call)

    # -- names, shapes and arrays -------------------------------------------------------------------------------------

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

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Let the MemoryData layer that the net begins with serve ``data`` (n, channels, height, width) and n labels.

        The arrays are read where they are, so later changes show.

        :raises NetError: the net begins with another layer; an array is not float32 in C order, or does not fit.
        """
        layer = self._net.nodes[0].layer
        if not isinstance(layer, MemoryData):
            cause = f"set_input_arrays is for nets that begin with a MemoryData layer, not with {layer.TYPE}."
            raise NetError(cause, file=self._net.source)
        for what, array in (("data", data), ("labels", labels)):
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not array.flags.c_contiguous:
                remedy = f"Give np.ascontiguousarray({what}, np.float32)."
                raise NetError(f"The {what} must be a float32 array in C order.", remedy=remedy)
        layer.set_arrays(torch.from_numpy(data), torch.from_numpy(labels))

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
        self._net.save(path, hdf5=False)

    def save_hdf5(self, path: str | Path, write_diff: bool = False) -> None:
        """Write a ``.caffemodel.h5``; ``write_diff`` adds the diffs."""
        self._push()
        self._net.save(path, diffs=write_diff, hdf5=True)

    def share_with(self, other: Net) -> None:
        """Use the data of the learnable blobs of ``other``'s layers of the same names; diffs stay apart."""
        share_weights(other._net, self._net, gradients=False)
        self._pull()

    def clear_param_diffs(self) -> None:
        """Set the diff of every learnable blob to zero."""
        self._push()
        for parameter in self._net.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        self._pull()

    def _push(self) -> None:
        for layer in self.layers:
            for blob in layer.blobs:
                blob.push()

    def _pull(self) -> None:
        for layer in self.layers:
            for blob in layer.blobs:
                blob.pull()
