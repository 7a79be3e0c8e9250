"""The module that is being written, and the place in it where an emitter writes one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from caffe_port.convert.emitters import Emitters
from caffe_port.convert.plan import Step
from caffe_port.convert.python_text import INDENT, LINE_LENGTH, Code, Names, call, flat, layout, printable
from caffe_port.convert.torch_layers import runtime
from caffe_port.layers import Layer
from caffe_port.layers.base import Shape

#: Names that the written file uses itself.
RESERVED = frozenset(["Path", "load", "load_file", "self", *vars(runtime)])

#: Caffe type -> function of a :class:`Site`. It returns the code of the only top, or a list of (target, code).
EMITTERS = Emitters()


class Module:
    """A growing ``nn.Module`` class.

    ``init`` and ``body`` are the indented lines of its ``__init__`` and ``forward``, ``state`` its ``state_dict``,
    ``runtime`` the functions and classes that it uses, to be written before it.
    """

    def __init__(self) -> None:
        self.init: list[str] = []
        self.body: list[str] = []
        self.state: dict[str, Tensor] = {}
        self.runtime: list[Callable[..., Any]] = []
        self.variables: dict[str, str] = {}  # blob -> the variable that holds it now
        self._own: dict[str, str] = {}  # blob -> the variable of its name
        self._attributes = Names(dir(nn.Module()), "layer")
        self._variables = Names(RESERVED, "blob")
        self._modules: dict[tuple[Any, ...], str] = {}
        self._tied: dict[int, str] = {}

    def variable(self, blob: str) -> str:
        """The variable named after ``blob``; from now on it holds the blob."""
        if blob not in self._own:
            self._own[blob] = self._variables.fresh(blob)
        self.variables[blob] = self._own[blob]
        return self._own[blob]

    def add(self, step: Step) -> None:
        """Write the layer of ``step``."""
        bottoms = [self.variables[name] for name in step.bottoms]
        code = EMITTERS[step.layer.TYPE](Site(self, step.layer, bottoms, step.shapes, step.tops))
        for blob, value in code if isinstance(code, list) else [(step.tops[0], code)]:
            if value in bottoms:  # nothing is computed
                self.variables[blob] = value
            else:
                self.body += layout(f"{INDENT}{self.variable(blob)} = ", value)

    def unpack(self, blobs: list[str], sequence: str) -> None:
        """Assign the items of the expression ``sequence`` to ``blobs``."""
        names = [self.variable(blob) for blob in blobs]
        line = f"{INDENT}{', '.join(names)} = {sequence}"
        lines = [f"{INDENT}{name} = {sequence}[{i}]" for i, name in enumerate(names)]
        self.body += [line] if len(line) <= LINE_LENGTH else lines

    def submodule(self, layer: Layer, constructor: Code, tensors: dict[str, Tensor]) -> str:
        """``self.<layer>``, made by ``constructor``, with these entries in the state (by their names in it).

        Layers that share all their blobs share one submodule; single blobs are tied.
        """
        shared = [id(tensor) for tensor in tensors.values() if isinstance(tensor, nn.Parameter)]
        key = (flat(constructor), *shared)
        whole = bool(shared) and len(shared) == len(tensors)
        if whole and key in self._modules:
            return self._modules[key]
        name = self._attribute(layer)
        self.init += layout(f"{INDENT}self.{name} = ", constructor)
        for entry, tensor in tensors.items():
            self._add_state(f"{name}.{entry}", tensor)
        if whole:
            self._modules[key] = f"self.{name}"
        return f"self.{name}"

    def parameter(self, layer: Layer, tensor: Tensor) -> str:
        """``self.<layer>``, a learnable tensor."""
        name = self._attribute(layer)
        shape = ", ".join(map(str, tensor.shape)) or "()"
        self.init += layout(f"{INDENT}self.{name} = ", call("nn.Parameter", f"torch.zeros({shape})"))
        self._add_state(name, tensor)
        return f"self.{name}"

    def _attribute(self, layer: Layer) -> str:
        name = self._attributes.fresh(layer.name)
        if name != layer.name:
            self.init.append(f"{INDENT}# {printable(layer.name)}")
        return name

    def _add_state(self, name: str, tensor: Tensor) -> None:
        self.state[name] = tensor.detach()
        if not isinstance(tensor, nn.Parameter):
            return
        owner = self._tied.setdefault(id(tensor), name)
        if owner != name:
            self.state[name] = tensor.detach().clone()  # safetensors stores no tensor under two names
            self.init.append(f"{INDENT}self.{name} = self.{owner}")


@dataclass(frozen=True)
class Site:
    """One layer in its place: its bottoms as variables, their shapes, and the module that it is written into."""

    module: Module
    layer: Layer
    bottoms: list[str]
    shapes: list[Shape]
    tops: list[str]

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def param(self) -> Any:
        """The LayerParameter."""
        return self.layer.layer_param

    def submodule(self, constructor: Code, **tensors: Tensor) -> str:
        """See :meth:`Module.submodule`."""
        return self.module.submodule(self.layer, constructor, tensors)

    def use(self, *functions: Callable[..., Any]) -> str:
        """The name of the last of ``functions``, all of which will be in the file."""
        for function in functions:
            if function not in self.module.runtime:
                self.module.runtime.append(function)
        return functions[-1].__name__
