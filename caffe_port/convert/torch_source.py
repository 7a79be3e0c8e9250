"""A net as PyTorch source: a folder with a readable ``model.py`` and its weights, for use without caffe_port."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from caffe_port.convert.converted import Converted
from caffe_port.convert.folder import atomic_folder
from caffe_port.convert.plan import OpenShape, Plan, plan_export
from caffe_port.convert.python_text import INDENT, Brackets, call, class_name, layout, printable, quoted
from caffe_port.convert.torch_layers import EMITTERS, Module
from caffe_port.convert.torch_layers.site import RESERVED
from caffe_port.errors import CaffeError
from caffe_port.extra import extra

if TYPE_CHECKING:
    from caffe_port.net import Net

FILES = ("model.py", "model.safetensors")

_IMPORTS = {
    "import torch": r"\btorch\.",
    "from safetensors.torch import load_file": r"\bload_file\b",
    "from torch import Tensor, nn": r"\bnn\b",
    "from torch.nn import functional as F": r"\bF\.",
}

_LOAD = '''
def load(weights: str | Path | None = None) -> {name}:
    """The net in evaluation mode, with the weights beside this file unless others are given."""
    net = {name}()
    net.load_state_dict(load_file(weights or Path(__file__).with_name("model.safetensors")))
    return net.eval()
'''


def write_torch_source(net: Net, folder: str | Path) -> Converted:
    """Write ``net`` as a folder with ``model.py`` (an ``nn.Module`` and ``load()``) and ``model.safetensors``.

    The module takes the net's inputs in order and returns its only output, or a dict of outputs by Caffe's blob name.
    It needs torch and safetensors only, and takes any batch size; its state has torch's own names and shapes. What is
    left out and what becomes an output instead: :func:`~caffe_port.convert.plan.plan_export`. The folder appears whole
    or not at all, and replaces an earlier export.

    :raises LayerError: a layer has no counterpart in PyTorch.
    :raises CaffeError: nothing is left to export, the package safetensors is missing, or ``folder`` cannot be written
        or holds other files.
    """
    plan = plan_export(net, EMITTERS)
    try:
        source, state = torch_source(plan)
    except CaffeError as error:
        raise error.at(file=net.source) from None
    save = extra("safetensors.torch", "convert", "The weights of PyTorch source", folder).save
    with atomic_folder(folder, FILES) as part:
        (part / FILES[0]).write_text(source, encoding="utf-8")
        (part / FILES[1]).write_bytes(save({name: tensor.cpu().contiguous() for name, tensor in state.items()}))
        size = sum((part / name).stat().st_size for name in FILES)
    return plan.converted(size)


def torch_source(plan: Plan) -> tuple[str, dict[str, Tensor]]:
    """The text of ``model.py`` and the state that belongs to it.

    :raises LayerError: a layer has no counterpart in PyTorch.
    """
    module = Module()
    arguments = [module.variable(name) for name in plan.inputs]
    for step in plan.steps:
        module.add(step)
    name = class_name(plan.net.net_name)
    name = f"{name}Net" if name in RESERVED else name
    definitions = [
        *map(inspect.getsource, module.runtime),
        _class(name, plan, module, arguments),
        _LOAD.format(name=name),
    ]
    code = "\n\n\n".join(text.strip("\n") for text in definitions) + "\n"
    imports = [line for line, use in _IMPORTS.items() if re.search(use, code)]
    head = [_docstring(name, plan, arguments), "from pathlib import Path\n", "\n".join(imports)]
    return "\n".join(head) + "\n\n\n" + code, module.state


def _class(name: str, plan: Plan, module: Module, arguments: list[str]) -> str:
    typed = ["self", *(f"{argument}: Tensor" for argument in arguments)]
    returned, kind = _returned({blob: module.variables[blob] for blob in plan.outputs})
    lines = [
        f"class {name}(nn.Module):",
        f'    """{_title(name, plan)}."""',
        "",
        "    def __init__(self) -> None:",
        f"{INDENT}super().__init__()",
        *module.init,
        "",
        *layout("    ", Brackets("def forward(", typed), f" -> {kind}:"),
        *module.body,
        *returned,
    ]
    return "\n".join(lines)


def _returned(results: Mapping[str, str]) -> tuple[list[str], str]:
    """The return statement and its type."""
    if len(results) == 1:
        return [f"{INDENT}return {next(iter(results.values()))}"], "Tensor"
    items = [f"{quoted(blob)}: {variable}" for blob, variable in results.items()]
    return layout(f"{INDENT}return ", Brackets("{", items, "}")), "dict[str, Tensor]"


def _title(name: str, plan: Plan) -> str:
    return f"{printable(plan.net.net_name) or name}, a Caffe net"


def _docstring(name: str, plan: Plan, arguments: list[str]) -> str:
    """The docstring of the file: how to use it, what goes in and what comes out."""
    result = "outputs" if len(plan.outputs) > 1 else "output"
    lines = [
        f'"""{_title(name, plan)}, as a PyTorch module. Written by caffe_port.',
        "",
        "    from model import load",
        "",
        *layout(f"    {result} = ", call("load()", *arguments)),
        "",
        "load() reads model.safetensors beside this file. Inputs, by Caffe's blob name:",
        "",
        *(f"    {_described(*item)}" for item in plan.inputs.items()),
        "",
        "Returns a dict of tensors by Caffe's blob name:" if len(plan.outputs) > 1 else "Returns a tensor:",
        "",
        *(f"    {_described(*item)}" for item in plan.outputs.items()),
        '"""',
        "",
    ]
    return "\n".join(lines)


def _described(blob: str, shape: OpenShape) -> str:
    """Blob and shape, with N for the batch size."""
    return f"{printable(blob)} ({', '.join('N' if n is None else str(n) for n in shape)})"
