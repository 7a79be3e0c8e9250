"""Pictures of nets: what they show, that text fits, that the same net gives the same bytes."""

from __future__ import annotations

import time
import warnings
import xml.etree.ElementTree as ET

import cv2
import matplotlib
import numpy as np
import pytest

from caffe_port.draw import FORMATS, draw, draw_to_file
from caffe_port.draw.labels import color, describe, edge_label, lr_mults
from caffe_port.draw.layout import lay_out
from caffe_port.draw.picture import picture_of
from caffe_port.draw.render import _box
from caffe_port.errors import FormatError, NetError
from caffe_port.net.filter import net_state
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from tests.draw.nets import inception_net
from tests.net.make import inputs, ip, layer, parse
from tests.shared import ROOT

LENET = read_net(ROOT / "prototxt" / "lenet" / "train_val.prototxt")
ALEXNET = read_net(ROOT / "prototxt" / "alexnet" / "train_val.prototxt")


def texts(svg):
    """Every text of an SVG picture."""
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]


def shown(text, rankdir="TB", **options):
    """The boxes and ovals of a picture: the first line of each plate, blobs in parentheses, and the edges by these."""
    picture = picture_of(parse(text), rankdir, **{"show_phases": True, "rates": False, "shapes": None, **options})
    names = ["+".join(plate.lines[0] for plate in node.plates) for node in picture.nodes]
    names = [f"({name})" if node.is_blob else name for name, node in zip(names, picture.nodes)]
    return names, [(names[a], names[b]) for a, b in picture.edges]


# -- what is in the picture -------------------------------------------------------------------------------------------


def test_a_chain_with_layers_in_place():
    text = inputs(x=(1, 2)) + ip("fc", "x", "y") + layer("ReLU", "relu", "y", "y") + layer("Dropout", "drop", "y", "y")
    nodes, edges = shown(text)
    box = "fc+relu (ReLU)+drop (Dropout)"
    assert nodes == ["x", "(x)", box, "(y)"]
    assert edges == [("x", "(x)"), ("(x)", box), (box, "(y)")]


def test_a_reader_of_the_values_before_an_in_place_layer():
    """It hangs on these, and later readers on the changed blob, which is another oval."""
    text = inputs(x=(1, 2)) + layer("Power", "a", "x", "y") + layer("Silence", "early", "y")
    nodes, edges = shown(text + layer("ReLU", "relu", "y", "y") + layer("Silence", "late", "y"))
    assert nodes == ["x", "(x)", "a", "(y)", "early", "relu (ReLU)", "(y)", "late"]
    assert edges[2:] == [
        ("a", "(y)"),
        ("(y)", "early"),
        ("(y)", "relu (ReLU)"),
        ("relu (ReLU)", "(y)"),
        ("(y)", "late"),
    ]


def test_in_place_on_one_of_several_tops():
    """A layer that changes the data but not the labels is no part of the data layer's box."""
    nodes, _ = shown(layer("Data", "d", "", "data label") + layer("Power", "scale", "data", "data"))
    assert nodes == ["d", "(data)", "(label)", "scale (Power)", "(data)"]


def test_layers_of_two_phases_that_write_one_blob():
    text = "".join(layer("Data", "d", "", "x", f"{rule} {{ phase: TRAIN }}") for rule in ("include", "exclude"))
    _, edges = shown(text + layer("Silence", "s", "x"))
    assert edges == [("d", "(x)"), ("d", "(x)"), ("(x)", "s")]
    picture = picture_of(parse(text), "TB", True, False, None)
    assert [node.plates[0].lines[-1] for node in picture.nodes if not node.is_blob] == ["phase: TRAIN", "phase: TEST"]


def test_a_blob_that_nobody_makes_or_that_is_read_twice_by_one_layer():
    nodes, edges = shown(layer("Eltwise", "sum", "x x", "y"))
    assert nodes == ["(x)", "sum", "(y)"]
    assert edges == [("(x)", "sum"), ("sum", "(y)")]


def test_state_chooses_layers():
    everything, train = (texts(draw(LENET, state=state)) for state in (None, net_state("TRAIN")))
    assert "accuracy" in everything
    assert "accuracy" not in train
    assert {"phase: TRAIN", "phase: TEST"} <= set(everything)
    assert not any(text.startswith("phase") for text in train)
    assert {"Batch 64", "Batch 100"} <= set(everything)
    assert "Batch 100" not in train


def test_lr_mults_and_shapes():
    assert texts(draw(ALEXNET, rates=True)).count("lr mult: 1.0, 2.0") == 7
    assert "lr mult: 10.0, 20.0" in texts(draw(ALEXNET, rates=True))
    assert not any(text.startswith("lr mult") for text in texts(draw(ALEXNET)))
    shapes = {"data": (64, 1, 28, 28), "loss": ()}
    assert {"64 x 1 x 28 x 28", "scalar"} <= set(texts(draw(LENET, shapes=shapes)))


# -- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ('type: "Convolution" convolution_param { kernel_size: 5 }', ["kernel size: 5", "stride: 1", "pad: 0"]),
        (
            'type: "Deconvolution" convolution_param { kernel_size: 3 kernel_size: 4 stride: 2 pad: 1 pad: 0 group: 2 '
            "dilation: 3 }",
            ["kernel size: 3x4", "stride: 2", "pad: 1x0", "group: 2", "dilation: 3"],
        ),
        (
            'type: "Convolution" convolution_param { kernel_h: 1 kernel_w: 7 stride_h: 2 stride_w: 1 }',
            ["kernel size: 1x7", "stride: 2x1", "pad: 0"],
        ),
        (
            'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 }',
            ["kernel size: 3", "stride: 2", "pad: 0"],
        ),
        ('type: "Pooling" pooling_param { global_pooling: true }', ["global"]),
    ],
)
def test_windows(text, window):
    described = describe(parse(f'layer {{ name: "a" {text} }}').layer[0])
    assert described[0] == ["a"]
    assert described[2:] == [window]


def test_types_and_rates():
    pool, fc, bn = parse(
        'layer { name: "p" type: "Pooling" pooling_param { pool: STOCHASTIC } } layer { name: "f" type: "InnerProduct" '
        'param { lr_mult: 0 } } layer { name: "b" type: "BatchNorm" param { lr_mult: 0 } }'
    ).layer
    assert describe(pool)[1] == ["(Pooling STOCHASTIC)"]
    assert describe(fc, rates=True)[2:] == [["lr mult: 0.0, 1.0"]]
    assert lr_mults(bn) == [0.0]
    assert edge_label(bn) == ""


def test_kinds_have_colors_of_their_own():
    kinds = ("Convolution", "Pooling", "InnerProduct", "ReLU", "Data", "LRN", "SoftmaxWithLoss", "LSTM", "Concat")
    assert len({color(kind) for kind in kinds}) == len(kinds)
    assert color("Deconvolution") == color("Convolution")
    assert color("NoSuchLayer") == color("Concat")


# -- the files --------------------------------------------------------------------------------------------------------


def test_an_inception_net_is_drawn_in_seconds_without_crossings():
    net = parse(inception_net())
    assert len(net.layer) == 14 + 9 * 14
    start = time.monotonic()
    svg = draw(net, "svg")
    assert time.monotonic() - start < 20  # 1 second on an idle core
    picture = picture_of(net, "TB", True, False, None)
    assert lay_out([_box(node) for node in picture.nodes], picture.edges).crossings == 0
    found = texts(svg)
    assert {each.name for each in net.layer if each.type != "ReLU" and each.type != "Dropout"} <= set(found)
    assert sum(text.endswith("(ReLU)") for text in found) == 3 + 9 * 6


def test_pages_grow_with_the_net():
    sizes = []
    for modules in (2, 8):
        root = ET.fromstring(draw(parse(inception_net(modules))))
        sizes.append([float(root.attrib[side].removesuffix("pt")) for side in ("width", "height")])
    (width, height), (_, taller) = sizes
    assert taller > 2 * height
    assert width > 400


def test_text_fits_into_its_box():
    """By the width that matplotlib itself gives the text on a canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    canvas = FigureCanvasAgg(figure)
    for node in picture_of(parse(inception_net(1)), "LR", False, True, None).nodes:
        for plate in node.plates:
            for index, line in enumerate(plate.lines):
                weight = "bold" if plate is node.plates[0] and not index and not node.is_blob else "normal"
                text = figure.text(0, 0, line, size=8.5, weight=weight, family="DejaVu Sans")
                assert text.get_window_extent(canvas.get_renderer()).width / figure.dpi < _box(node).width


def test_png_shows_the_colors_of_the_layers():
    """As many areas of convolution red and pooling orange as layers."""
    picture = cv2.imdecode(np.frombuffer(draw(LENET, "png", "LR", state=net_state("TEST")), np.uint8), cv2.IMREAD_COLOR)
    for kind, count in (("Convolution", 2), ("Pooling", 2), ("InnerProduct", 2)):
        red, green, blue = (int(color(kind)[i : i + 2], 16) for i in (1, 3, 5))
        area = (picture == (blue, green, red)).all(-1).astype(np.uint8)
        area = cv2.morphologyEx(area, cv2.MORPH_CLOSE, np.ones((15, 15)))  # without the text
        assert cv2.connectedComponents(area)[0] - 1 == count


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_net_gives_the_same_bytes(form):
    before = dict(matplotlib.rcParams)
    assert draw(LENET, form) == draw(LENET, form)
    assert dict(matplotlib.rcParams) == before


def test_names_are_taken_literally():
    """Dollar signs are no formulas, angle brackets no markup, and letters of any script are kept."""
    found = texts(draw(parse(ip("a$x_1$b", "<x>", "größe&co"))))
    assert {"a$x_1$b", "<x>", "größe&co"} <= set(found)


def test_names_without_letters_or_with_control_characters():
    """A file may hold any; the SVG stays well-formed, and a line is a line."""
    net = parse(layer("TanH", "", "x", "y"))
    net.name, net.layer[0].name = "a\0b", "c\nd\x1b"
    assert {"a\ufffdb", "c\ufffdd\ufffd"} <= set(texts(draw(net)))
    net.layer[0].name = ""
    assert "(TanH)" in texts(draw(net))


def test_letters_that_the_font_lacks_are_told_of_where_they_are_not_seen():
    net = parse(layer("TanH", "\u7573", "x", "y"))
    with pytest.warns(UserWarning, match="missing from font"):
        draw(net, "png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "\u7573" in texts(draw(net, "svg"))


def test_a_huge_net_fits_into_a_png():
    """Agg draws at most 65,535 pixels a side; a chain of 700 layers is 700 x 0.75 inches long."""
    text = inputs(b0=(1, 1)) + "".join(layer("TanH", f"t{i}", f"b{i}", f"b{i + 1}") for i in range(700))
    data = draw(parse(text), "png")
    height = int.from_bytes(data[20:24], "big")  # of the IHDR chunk
    assert 50_000 < height <= 60_001


def test_to_file(tmp_path):
    for form in FORMATS:
        draw_to_file(LENET, tmp_path / f"net.{form}")
    assert (tmp_path / "net.svg").read_bytes() == draw(LENET, "svg")
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(FormatError, match=r"net\.dot: A net cannot be drawn as 'dot'\. Use one of svg, png, pdf"):
        draw_to_file(LENET, tmp_path / "net.dot")
    with pytest.raises(FormatError, match=r"cannot be written"):
        draw_to_file(LENET, tmp_path / "gone" / "net.svg")


def test_refusals():
    with pytest.raises(NetError, match=r"Unknown rankdir 'XY'\. Use one of TB, LR, BT, RL"):
        draw(LENET, "svg", "XY")
    both = parse('layer { name: "a" type: "ReLU" include { phase: TRAIN } exclude { phase: TEST } }')
    with pytest.raises(NetError, match="Specify either include rules or exclude rules"):
        draw(both, state=net_state("TEST"))
    assert draw(pb.NetParameter(), "svg").startswith(b"<?xml")
