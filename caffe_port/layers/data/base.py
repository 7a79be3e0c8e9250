"""What data layers share. Caffe: base_data_layer.cpp."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from caffe_port.data.prefetch import BatchSource, Prefetcher, Stream
from caffe_port.data.transformer import Transformer
from caffe_port.errors import CaffeError, CaffeWarning
from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.proto import pb


class DataLayer(Layer):
    """A layer without bottoms, whose tops no gradient reaches.

    Tops follow the layer's device and floating type (``layer.to("cuda")``, ``layer.double()``).
    """

    BOTTOMS = (0, 0)
    #: Whether the processes of a training share out the items; otherwise each serves all, in an order of its own.
    INTERLEAVED = False
    #: shows the device and type that tops get
    like: Tensor

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def seed(self) -> int:
        """Root of this layer's random numbers; of shared items, what every process must agree on."""
        return self.context.seed if self.INTERLEAVED else self.context.own_seed

    def transformer(self) -> Transformer:
        """transform_param at work for this layer.

        :raises DataError: it contradicts itself, or its mean cannot be read.
        """
        training = self.context.phase == pb.TRAIN
        return Transformer(self.layer_param.transform_param, training, seed=self.seed, name=self.name)

    def warn(self, cause: str) -> None:
        """Warn, naming this layer."""
        warnings.warn(f"layer '{self.name}' ({self.TYPE}): {cause}", CaffeWarning, stacklevel=3)

    def warn_without_effect(self, message: Any, fields: Sequence[str], why: str) -> None:
        """Warn of those ``fields`` of ``message`` that are set, because Caffe ignores them."""
        found = [field for field in fields if message.HasField(field)]
        if found:
            self.warn(f"{', '.join(found)} in {message.DESCRIPTOR.name} without effect: {why}")


class PrefetchingDataLayer(DataLayer):
    """A data layer whose batches are prepared in the background.

    Batch number :attr:`passes` is served next. Set it, and the next forward serves that very batch: the contents of a
    batch depend on its number and the seed alone. Threads start at the first forward, not before.
    """

    #: Threads that prepare batches; more than data_param.prefetch (Caffe's number of batches ahead) are not started.
    workers = min(4, os.cpu_count() or 1)
    _stream: Stream

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self._source: BatchSource | None = None
        self._shapes: list[Shape] = []
        self._prefetcher: Prefetcher | None = None
        depth = layer_param.data_param.prefetch
        self.check(depth > 0, "prefetch must be at least 1.", "It is the number of batches to prepare ahead.")

    def __getstate__(self) -> dict[str, Any]:
        """For copies: they open the source anew and go on with the same batch."""
        return {**self.__dict__, "_source": None, "_prefetcher": None}

    @abstractmethod
    def open_source(self) -> BatchSource:
        """Open what the parameters name."""

    @property
    def source(self) -> BatchSource:
        """The source, opened when first wanted.

        :raises CaffeError: it cannot be opened.
        """
        if self._source is None:
            try:
                source = self.open_source()
                self._shapes = source.shapes[: len(self.layer_param.top)]
            except CaffeError as error:
                raise error.at(layer=self.name, layer_type=self.TYPE) from None
            self._source = source
        return self._source

    def stream(self, batch_size: int) -> Stream:
        """Which items this layer's batches hold."""
        self.check(batch_size > 0, "Positive batch size required.", "Set batch_size.")
        context = self.context
        # TEST nets run in one process only and read everything
        rank, world = (context.rank, context.world) if self.INTERLEAVED and context.phase == pb.TRAIN else (0, 1)
        return Stream(batch_size, self.seed, self.name, rank, world)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        _ = self.source
        return list(self._shapes)

    def forward(self) -> tuple[Tensor, ...]:
        source = self.source
        if self._prefetcher is None or self._prefetcher.position != self.passes:
            self.close()
            source.pin_memory = self.like.is_cuda
            self._prefetcher = Prefetcher(source, self.passes, self.layer_param.data_param.prefetch, self.workers)
        try:
            prepared = self._prefetcher.get()
        except CaffeError as error:
            self._prefetcher = None
            raise error.at(layer=self.name, layer_type=self.TYPE) from None
        self.passes += 1
        return source.finish(prepared, self.like)[: len(self._shapes)]

    def reseed(self) -> None:
        """Serve the batches of the new ``context.seed`` from now on."""
        if self._stream.seed != self.seed:
            self.close()
            self._source = None
            self._stream = replace(self._stream, seed=self.seed)

    def close(self) -> None:
        """Stop the threads. A later forward goes on where this one stopped."""
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None
