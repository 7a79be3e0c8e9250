"""Nets written in Python: layers are called like functions (Caffe: net_spec.py).

::

    n = NetSpec()
    n.data, n.label = layers.Data(source="train_lmdb", backend=params.Data.LMDB, batch_size=64, ntop=2)
    n.ip = layers.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = layers.SoftmaxWithLoss(n.ip, n.label)
    text = str(n.to_proto())
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from caffe_port.errors import CaffeError, LayerError, NetError, UnknownFieldError
from caffe_port.proto import pb


class NotATopError(NetError, TypeError):
    """Something else was given where a net specification needs a :class:`Top`."""


def param_name_dict() -> dict[str, str]:
    """The field of LayerParameter that belongs to a layer type, without ``_param``: ``{"Pooling": "pooling", ...}``."""
    fields = [field for field in pb.LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in fields
        if field.message_type is not None
    }


_param_names = param_name_dict()


def to_proto(*tops: Top) -> Any:
    """The NetParameter of all layers that are needed for ``tops``, with names made up from the layers' types.

    :raises CaffeError: a parameter is unknown to its layer, or has a value of the wrong kind.
    """
    return _net_of(tops, {})


def _net_of(tops: Any, names: dict[Any, str]) -> Any:
    made: OrderedDict[Function, Any] = OrderedDict()
    autonames: Counter[str] = Counter()
    for top in tops:
        top._to_proto(made, names, autonames)
    net = pb.NetParameter()
    net.layer.extend(made.values())
    return net


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set the field ``name`` of the message ``proto`` to ``val``.

    A dict fills a message, a list (or tuple) is appended to a repeated field, and one value stands for a list of one.

    :raises UnknownFieldError: the message has no such field.
    :raises LayerError: the field cannot take the value.
    """
    message = proto.DESCRIPTOR
    if name not in message.fields_by_name:
        close = get_close_matches(name, message.fields_by_name.keys(), n=1)
        remedy = f"Did you mean '{close[0]}'?" if close else None
        raise UnknownFieldError(f"{message.name} has no field '{name}'.", remedy=remedy)
    field = getattr(proto, name)
    try:
        if hasattr(field, "extend"):
            for item in val if isinstance(val, (list, tuple)) else [val]:
                if isinstance(item, dict):
                    _fill(field.add(), item)
                else:
                    field.extend([item])
        elif isinstance(val, dict):
            _fill(field, val)
        else:
            setattr(proto, name, val)
    except (AttributeError, TypeError, ValueError) as error:
        raise LayerError(f"{message.name}.{name} cannot be {val!r}: {error}.") from error


def _fill(proto: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


class Top:
    """One output blob, number ``n``, of the layer ``fn``."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The NetParameter of all layers that are needed for this blob. As :func:`to_proto`."""
        return to_proto(self)

    def _to_proto(self, made: OrderedDict[Function, Any], names: dict[Any, str], autonames: Counter[str]) -> None:
        self.fn._to_proto(made, names, autonames)


class Function:
    """A layer: its type, the tops it reads and its parameters.

    :param params: what the call of the layer was given; ``ntop`` (number of tops, 1) and ``in_place`` (write into the
        bottoms) are taken out of it.
    :raises NotATopError: an input is no :class:`Top`, such as the tuple of tops of a layer with several.
    """

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, Any]) -> None:
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                raise NotATopError(f"{type_name} input {index} is not a Top (type is {type(given)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = params
        self.ntop = params.pop("ntop", 1)
        self.in_place = params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(self, made: OrderedDict[Function, Any], names: dict[Any, str], autonames: Counter[str]) -> None:
        """Add this layer to ``made`` after those it depends on. A loop, for nets may be deeper than Python's stack."""
        pending = [self]
        while pending:
            function = pending[-1]
            missing = next((top.fn for top in function.inputs if top.fn not in made), None)
            if missing is not None:
                pending.append(missing)
                continue
            pending.pop()
            if function not in made:
                made[function] = function._layer(made, names, autonames)

    def _layer(self, made: OrderedDict[Function, Any], names: dict[Any, str], autonames: Counter[str]) -> Any:
        layer = pb.LayerParameter(type=self.type_name)
        layer.bottom.extend(made[top.fn].top[top.n] for top in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._name_of(top, names, autonames) for top in self.tops)
        layer.name = self._name_of(self.tops[0] if self.tops else self, names, autonames)
        try:
            for name, value in self.params.items():
                self._assign(layer, name, value)
        except CaffeError as error:
            raise error.at(layer=layer.name, layer_type=self.type_name) from None
        return layer

    def _name_of(self, what: Top | Function, names: dict[Any, str], autonames: Counter[str]) -> str:
        """The name that ``what`` was assigned to, or the layer's type with a running number."""
        if what not in names:
            autonames[self.type_name] += 1
            names[what] = f"{self.type_name}{autonames[self.type_name]}"
        return names[what]

    def _assign(self, layer: Any, name: str, value: Any) -> None:
        """A keyword goes to the message of the layer's type, such as pooling_param, or to the layer itself."""
        target = layer
        if self.type_name in _param_names and not name.endswith("param"):
            own = getattr(layer, f"{_param_names[self.type_name]}_param")
            if name in own.DESCRIPTOR.fields_by_name or name not in layer.DESCRIPTOR.fields_by_name:
                target = own
        assign_proto(target, name, value)


class NetSpec:
    """The tops of a net by name, as attributes or items; in ``tops`` in the order of their assignment.

    A layer without tops (``ntop=0``) is assigned itself, to name it.
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        if not isinstance(value, (Top, Function)):
            raise NotATopError(
                f"'{name}' is not a Top (type is {type(value)}).",
                remedy="A layer with several tops is assigned to as many names: n.data, n.label = ...",
            )
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name == "tops" or name not in self.tops:  # tops: while a copy is being made
            raise AttributeError(f"The net has no top '{name}'.")
        return self.tops[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def to_proto(self) -> Any:
        """The NetParameter of all layers that are needed for the tops, named as these are. As :func:`to_proto`."""
        return _net_of(self.tops.values(), {top: name for name, top in self.tops.items()})


class Layers:
    """Every layer type as a function: ``layers.Convolution(bottom, kernel_size=3, num_output=8)``.

    It returns its :class:`Top`, a tuple of them if ``ntop`` is above one, or the :class:`Function` if it is zero.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # what inspect, copy and the like look for
            raise AttributeError(name)

        def layer(*inputs: Top, **params: Any) -> Any:
            function = Function(name, inputs, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return layer


class Parameters:
    """The enum values of layer parameters: ``params.Pooling.MAX``."""

    def __getattr__(self, name: str) -> Any:
        message = getattr(pb, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"Caffe has no message {name}Parameter.")
        return message


layers = Layers()
params = Parameters()
