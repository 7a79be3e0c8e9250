"""Write the table of ``caffe_port/layers/README.md`` from the layer registry.

    python tools/make_layer_table.py

Needs caffe_port installed, or PYTHONPATH=. in the checkout. Everything comes from the classes: the text is the first
and the "Deviates from Caffe:" paragraph of their docstrings, the blobs are those of a small example of each layer.
"""

from __future__ import annotations

import re
from pathlib import Path

from caffe_port.layers import Layer, LayerContext, create_layer, layer_types
from caffe_port.layers.utility.python import UserLayer
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text

README = Path(__file__).resolve().parent.parent / "caffe_port" / "layers" / "README.md"
BEGIN = "<!-- from here on written by tools/make_layer_table.py -->\n"

#: Caffe's catalogue groups, in its order.
GROUPS = ("vision", "recurrent", "common", "normalization", "activation", "utility", "loss", "data")

IMAGE = (2, 3, 4, 4)
_UNITS = "recurrent_param { num_output: 2 weight_filler { type: 'xavier' } }"
#: Type -> parameters and bottom shapes of a small example with every blob the layer can have, where these are not
#: "none" and one IMAGE. Bottoms full of ones are valid for all of them.
EXAMPLES: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "Accuracy": ("", ((2, 3), (2,))),
    "BatchReindex": ("", (IMAGE, (4,))),
    "Concat": ("", (IMAGE, IMAGE)),
    "ContrastiveLoss": ("", ((2, 3), (2, 3), (2,))),
    "Convolution": ("convolution_param { num_output: 2 kernel_size: 3 }", (IMAGE,)),
    "Crop": ("", (IMAGE, (2, 3, 2, 2))),
    "Deconvolution": ("convolution_param { num_output: 2 kernel_size: 3 }", (IMAGE,)),
    "Eltwise": ("", (IMAGE, IMAGE)),
    "Embed": ("embed_param { num_output: 2 input_dim: 3 }", ((2,),)),
    "EuclideanLoss": ("", ((2, 3), (2, 3))),
    "Filter": ("", (IMAGE, (2,))),
    "HDF5Output": ("hdf5_output_param { file_name: 'out.h5' }", (IMAGE, (2,))),
    "HingeLoss": ("", ((2, 3), (2,))),
    "Im2col": ("convolution_param { kernel_size: 3 }", (IMAGE,)),
    "InfogainLoss": ("", ((2, 3), (2,), (3, 3))),
    "InnerProduct": ("inner_product_param { num_output: 2 }", (IMAGE,)),
    "LSTM": (_UNITS, ((2, 3, 4), (2, 3), (3, 4))),
    "LSTMUnit": ("", ((1, 3, 2), (1, 3, 8), (1, 3))),
    "MultinomialLogisticLoss": ("", ((2, 3), (2,))),
    "Parameter": ("parameter_param { shape { dim: 2 } }", ()),
    "Pooling": ("pooling_param { kernel_size: 2 }", (IMAGE,)),
    "Python": (f"python_param {{ module: '{__name__}' layer: 'Doubling' }}", (IMAGE,)),
    "RNN": (_UNITS, ((2, 3, 4), (2, 3), (3, 4))),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 } }", (IMAGE,)),
    "SPP": ("spp_param { pyramid_height: 2 }", (IMAGE,)),
    "Scale": ("scale_param { bias_term: true }", (IMAGE,)),
    "SigmoidCrossEntropyLoss": ("", ((2, 3), (2, 3))),
    "SoftmaxWithLoss": ("", ((2, 3), (2,))),
    "Tile": ("tile_param { tiles: 2 }", (IMAGE,)),
}


class Doubling(UserLayer):
    """The example of a layer written in Python: twice its bottom."""

    def setup(self, bottom: list, top: list) -> None:
        """Nothing is to be set up."""

    def reshape(self, bottom: list, top: list) -> None:
        """The top has the bottom's shape."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list, top: list) -> None:
        """Compute the top."""
        top[0].data[...] = 2 * bottom[0].data


def example(kind: str) -> tuple[Layer, tuple[tuple[int, ...], ...]]:
    """A small layer of type ``kind``, set up, and the shapes of its bottoms. Layers that read files have none."""
    text, shapes = EXAMPLES.get(kind, ("", (IMAGE,)))
    param = parse_text(f'name: "example" type: "{kind}" {text}', pb.LayerParameter)
    param.top.extend(f"top{i}" for i in range(1 if kind == "Python" else layer_types()[kind].TOPS[0]))
    layer = create_layer(param, LayerContext(phase=pb.TEST, seed=1))
    layer.setup(shapes)
    for index in range(len(layer.blob_names)):
        layer.fill_blob(index)
    return layer, shapes


def takes_input(cls: type[Layer]) -> bool:
    """Whether the layer computes something, from bottoms or its own blobs, and does not serve data."""
    return cls.BOTTOMS[1] != 0 or cls.TYPE == "Parameter"


def group_of(cls: type[Layer]) -> str:
    """The folder of ``caffe_port/layers`` that holds ``cls``."""
    return cls.__module__.split(".")[2]


def count(limits: tuple[int, int | None]) -> str:
    """``1``, ``1-2`` or ``1+``."""
    least, most = limits
    return f"{least}+" if most is None else f"{least}" if least == most else f"{least}-{most}"


def blobs(cls: type[Layer]) -> str:
    """The names of the learnable blobs, in Caffe's order."""
    if not takes_input(cls):
        return ""
    return ", ".join(f"`{name}`" for name in example(cls.TYPE)[0].blob_names)


def paragraphs(cls: type[Layer]) -> list[str]:
    """The docstring's paragraphs, each as one line that a table cell can hold."""
    assert cls.__doc__ is not None
    lines = (" ".join(part.split()) for part in re.split(r"\n\s*\n", cls.__doc__))
    return [re.sub(r":class:`(\w+)`", r"`\1`", line).replace("``", "`").replace("|", r"\|") for line in lines]


def meaning(cls: type[Layer]) -> str:
    """What the layer computes: its docstring's first paragraph without the source."""
    return re.sub(r"\s*Caffe: [\w./, ]+$", "", paragraphs(cls)[0]).rstrip(":")


def deviation(cls: type[Layer]) -> str:
    """The paragraph "Deviates from Caffe:" without these words."""
    mark = "Deviates from Caffe: "
    text = " ".join(line.removeprefix(mark) for line in paragraphs(cls) if line.startswith(mark))
    return text[:1].upper() + text[1:]


def table() -> str:
    """The table, in Markdown, grouped as Caffe's catalogue."""
    rows = ["| Type | V1 name | Group | Bottoms | Tops | Blobs | Computes | Deviates from Caffe |", "|---" * 8 + "|"]
    for cls in sorted(layer_types().values(), key=lambda cls: (GROUPS.index(group_of(cls)), cls.TYPE)):
        limits = count(cls.BOTTOMS), count(cls.TOPS)
        cells = [cls.TYPE, cls.V1_TYPE or "", group_of(cls), *limits, blobs(cls), meaning(cls), deviation(cls)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """The README with the table brought up to date; what stands above it stays."""
    return README.read_text(encoding="utf-8").partition(BEGIN)[0] + BEGIN + "\n" + table()


if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
