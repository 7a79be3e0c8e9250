"""What every layer is: declared counts, learnable blobs, shape inference and a forward in torch operations.

Caffe's own counterpart is ``include/caffe/layer.hpp``. A layer's life:

1. ``__init__(layer_param, context)`` reads and checks its parameters;
2. ``setup(bottom_shapes)`` runs once and creates the learnable blobs;
3. ``reshape(bottom_shapes)`` checks shapes and returns the top shapes; it changes nothing and may run at any time;
4. ``forward(*bottoms)`` returns a tuple of tops. Autograd of it must be Caffe's backward, also where Caffe's gradient
   is not the true one. It takes sizes from its bottoms, never from an earlier ``reshape``: inputs may change shape
   between calls, and ``torch.export`` may leave the batch size open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from caffe_port import rng
from caffe_port.errors import LayerError
from caffe_port.layers.fillers import fill

Shape = tuple[int, ...]

#: The most values that a blob may have: Caffe counts them in an int.
INT_MAX = 2**31 - 1

#: Whether torch.compile or torch.export traces what runs, so that no branch may depend on values.
if hasattr(torch.compiler, "is_compiling"):
    is_compiling = torch.compiler.is_compiling
else:  # torch before 2.3
    from torch._dynamo import is_compiling as is_compiling


@dataclass
class LayerContext:
    """What a layer knows of the net around it."""

    phase: int = 1  #: pb.TRAIN (0) or pb.TEST (1)
    seed: int = field(default_factory=rng.fresh_seed)  #: root of all random numbers of the net
    rank: int = 0  #: this process among ``world`` that train side by side (Data and HDF5Data interleave records)
    world: int = 1

    @property
    def own_seed(self) -> int:
        """Root of what this process draws for itself (Caffe: random_seed + rank); ``seed`` is common to all."""
        return self.seed + self.rank


class Layer(nn.Module):
    """Base class of all layers. ``name`` is the layer's name in the prototxt, ``layer_param`` its LayerParameter."""

    TYPE: ClassVar[str] = ""
    V1_TYPE: ClassVar[str | None] = None
    #: (least, most) number of bottoms and tops; None: no limit. A layer whose parameters decide sets its own.
    BOTTOMS: tuple[int, int | None] = (1, 1)
    TOPS: tuple[int, int | None] = (1, 1)
    #: As many tops as bottoms (Caffe's EqualNumBottomTopBlobs).
    EQUAL_BOTTOMS_TOPS: ClassVar[bool] = False
    #: A loss layer: the first top has loss_weight 1 unless told otherwise, and tops that the prototxt leaves out are
    #: added up to the least number (Caffe's AutoTopBlobs).
    IS_LOSS: ClassVar[bool] = False
    #: Bottoms that never get a gradient (labels); Caffe dies when one is asked for, force_backward leaves them out.
    NO_GRADIENT: tuple[int, ...] = ()
    #: Whether top[0] may be computed into bottom[0].
    IN_PLACE: ClassVar[bool] = False

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__()
        self.layer_param = layer_param
        self.name: str = layer_param.name
        self.context = context
        self.training = context.phase == 0
        #: set by the net: the first top and the first bottom are one blob
        self.in_place = False
        #: random forward passes done (data layers: batches served) so far; what an exact resume restores
        self.passes = 0
        self.blob_names: list[str] = []
        self.blob_shapes: list[Shape] = []
        #: per blob whether gradients may ever change it (BatchNorm's running sums: never)
        self.learnable: list[bool] = []
        self._fillers: list[Any] = []

    # -- to be provided by each layer ---------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        """Create the learnable blobs for bottoms of these shapes. Runs once."""

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """The top shapes for bottoms of these shapes.

        :raises LayerError: the shapes do not fit the layer.
        """
        raise LayerError("has no shape rule.", layer=self.name, layer_type=self.TYPE)

    # nn.Module declares forward; each layer defines ``forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]``.

    # -- learnable blobs ----------------------------------------------------------------------------------------------

    def add_blob(self, name: str, shape: Sequence[int], filler: Any = None, learnable: bool = True) -> None:
        """Declare the next learnable blob: Caffe's ``blobs_[i]``, of Caffe's shape; ``filler`` is a FillerParameter.

        The memory is filled only when :meth:`fill_blob` runs, so that loading weights need not pay for it.
        """
        self.check_size(tuple(shape))
        self.blob_names.append(name)
        self.blob_shapes.append(tuple(int(n) for n in shape))
        self._fillers.append(filler)
        self.learnable.append(learnable)
        self.register_parameter(name, nn.Parameter(torch.empty(self.blob_shapes[-1]), requires_grad=learnable))

    @property
    def blobs(self) -> list[nn.Parameter]:
        """The learnable blobs in Caffe's order, as stored (a shared blob has its owner's shape)."""
        return [self.get_parameter(name) for name in self.blob_names]

    def blob(self, index: int) -> Tensor:
        """Learnable blob ``index`` in this layer's shape (PERMISSIVE sharing may store it in another)."""
        stored = self._parameters[self.blob_names[index]]
        assert stored is not None
        shape = self.blob_shapes[index]
        return stored if stored.shape == shape else stored.view(shape)

    def share_blob(self, index: int, owner: nn.Parameter) -> None:
        """Use ``owner``, a blob of another layer with as many values, as learnable blob ``index``."""
        self._parameters[self.blob_names[index]] = owner

    def fill_blob(self, index: int) -> None:
        """Initialise learnable blob ``index`` with its filler; without one, with zeros."""
        generator = rng.torch_generator(self.context.seed, self.name, "blob", index)
        try:
            fill(self.blobs[index].data, self._fillers[index], generator)
        except LayerError as error:
            raise error.at(layer=self.name, layer_type=self.TYPE) from None

    # -- helpers ------------------------------------------------------------------------------------------------------

    def reseed(self) -> None:
        """Take over a new ``context.seed``; layers that derive something from it when they are set up extend this."""

    def random_generator(self, device: torch.device | str = "cpu") -> torch.Generator:
        """A generator for this forward pass; the next call returns that of the next pass."""
        self.passes += 1
        return rng.torch_generator(self.context.own_seed, self.name, "pass", self.passes, device=device)

    def error(self, cause: str, remedy: str | None = None) -> LayerError:
        """A LayerError that names this layer."""
        return LayerError(cause, remedy=remedy, layer=self.name, layer_type=self.TYPE)

    def check(self, condition: bool, cause: str, remedy: str | None = None) -> None:
        """Raise :meth:`error` unless ``condition``."""
        if not condition:
            raise self.error(cause, remedy)

    def check_size(self, shape: Shape) -> None:
        """Refuse a blob of negative dimensions or of more values than Caffe can count.

        :raises LayerError: as said (Caffe: Blob::Reshape).
        """
        if min(shape, default=0) < 0 or math.prod(shape) > INT_MAX:
            raise self.error(
                f"A blob of shape {format_shape(shape)} cannot be made.",
                f"No dimension may be negative, and blob size may not exceed INT_MAX ({INT_MAX}).",
            )

    def axis(self, value: int, shape: Shape, *, end: bool = False) -> int:
        """``value`` as a non-negative axis of ``shape`` (CanonicalAxisIndex); ``end`` also admits its length."""
        last = len(shape) if end else len(shape) - 1
        axis = value + last + 1 if value < 0 else value
        if not 0 <= axis <= last:  # the message is made only then: under torch.export a shape cannot be printed
            raise self.error(f"axis {value} out of range for {len(shape)}-D blob with shape {format_shape(shape)}.")
        return axis

    def refuse_gradient(self, bottoms: Sequence[Tensor], what: str = "label inputs") -> None:
        """Raise :meth:`error` when a bottom of :attr:`NO_GRADIENT` asks for a gradient; ``what`` names such bottoms."""
        if torch.is_grad_enabled() and any(bottoms[i].requires_grad for i in self.NO_GRADIENT if i < len(bottoms)):
            raise self.error(
                f"cannot backpropagate to {what}.", "Set propagate_down: false for it, or detach what computes it."
            )

    def extra_repr(self) -> str:
        """The type and the blob shapes, for ``print(net)``."""
        return f"{self.TYPE}" + "".join(f", {n}{list(s)}" for n, s in zip(self.blob_names, self.blob_shapes))


def format_shape(shape: Sequence[int]) -> str:
    """``(2, 3, 5)`` as Caffe prints it: ``2 3 5 (30)``."""
    count = 1
    for n in shape:
        count *= n
    return " ".join([*map(str, shape), f"({count})"])
