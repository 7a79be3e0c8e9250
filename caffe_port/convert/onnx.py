"""A net as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe_port.convert.converted import Converted
from caffe_port.convert.onnx_layers import EMITTERS, Graph
from caffe_port.convert.plan import OpenShape, Plan, plan_export
from caffe_port.errors import CaffeError, NetError
from caffe_port.extra import extra
from caffe_port.files import atomic_write
from caffe_port.version import __version__

if TYPE_CHECKING:
    from caffe_port.net import Net

#: Operator set and file version: those of ONNX 1.12 (2022), which runtimes have had time to learn.
OPSET, IR_VERSION = 17, 8
#: The most bytes of weights that a file can hold: protobuf messages end at 2 GB.
LIMIT = 2**31 - 2**20


def write_onnx(net: Net, path: str | Path) -> Converted:
    """Write ``net`` as an ONNX file (opset 17) with its weights inside.

    Inputs and outputs have Caffe's blob names, operators the names of their layers. The first axis of the inputs is
    ``batch`` and may have any length, unless a layer insists on one (a Reshape to fixed dims); other axes are those of
    the net. What is left out and what becomes an output instead: :func:`~caffe_port.convert.plan.plan_export`.

    :raises LayerError: a layer has no counterpart in ONNX.
    :raises CaffeError: nothing is left to export, the weights exceed 2 GB, the package onnx is missing, or ``path``
        cannot be written.
    """
    plan = plan_export(net, EMITTERS)
    try:
        graph = onnx_graph(plan)
    except CaffeError as error:
        raise error.at(file=net.source) from None
    size = sum(array.nbytes for array in graph.initializers.values())
    if size > LIMIT:
        cause = f"The net has {size} bytes of weights; an ONNX file holds at most 2 GB."
        raise NetError(cause, file=net.source, remedy="Convert it to PyTorch source instead.")
    data = _model(plan, graph, path).SerializeToString()
    with atomic_write(path) as file:
        file.write(data)
    return plan.converted(len(data))


def onnx_graph(plan: Plan) -> Graph:
    """The operators and initializers of ``plan``.

    :raises LayerError: a layer has no counterpart in ONNX.
    """
    graph = Graph([*plan.inputs, *plan.outputs])
    graph.values.update((name, name) for name in plan.inputs)
    for step in plan.steps:
        graph.add(step)
    graph.publish(list(plan.outputs))
    return graph


def _model(plan: Plan, graph: Graph, path: str | Path) -> Any:
    """The ModelProto.

    :raises FormatError: the package onnx is missing.
    """
    onnx = extra("onnx", "convert", "ONNX files", path)
    nodes = [onnx.helper.make_node(o.kind, o.inputs, o.outputs, o.name, **o.attributes) for o in graph.operators]
    inputs, outputs = (
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _dims(shape))
            for name, shape in blobs.items()
        ]
        for blobs in (plan.inputs, plan.outputs)
    )
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in graph.initializers.items()]
    made = onnx.helper.make_graph(nodes, plan.net.net_name or "net", inputs, outputs, arrays)
    opset = onnx.helper.make_opsetid("", OPSET)
    return onnx.helper.make_model(
        made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="caffe_port", producer_version=__version__
    )


def _dims(shape: OpenShape) -> list[int | str | None]:
    """The shape for ONNX: a first axis that follows the batch size is ``batch``."""
    return ["batch" if n is None and axis == 0 else n for axis, n in enumerate(shape)]
