"""``caffe-port classify``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffe_port.cli.options import choose_device, gpu_option, log_to_stderr, report_known
from caffe_port.errors import DataError, NetError

if TYPE_CHECKING:
    import numpy as np

    from caffe_port.pycaffe.classifier import Classifier


class Size(click.ParamType):
    """``H,W`` or one number for both."""

    name = "H,W"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        parts = value.split(",") if isinstance(value, str) else value
        if len(parts) > 2 or not all(str(part).isdecimal() and int(part) for part in parts):
            self.fail(f"'{value}' is no size such as 256,256.", param, ctx)
        return int(parts[0]), int(parts[-1])


@click.command(
    "classify",
    short_help="Name what is in image files.",
    epilog="Example: caffe-port classify --model deploy.prototxt --weights bvlc_alexnet.caffemodel "
    "--mean imagenet_mean.binaryproto --labels synset_words.txt --image-size 256,256 --oversample cat.jpg",
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--model", required=True, metavar="FILE", help="The deploy prototxt: its first input takes the images.")
@click.option("--weights", required=True, metavar="FILE", help="The weights: .caffemodel or .caffemodel.h5.")
@click.option(
    "--mean",
    metavar="FILE|V[,V]",
    help="What is subtracted: a mean image (.binaryproto, .npy), or one value or one per channel, in the net's order.",
)
@click.option("--labels", metavar="FILE", help="The names of the classes, a line each, such as synset_words.txt.")
@click.option(
    "--raw-scale",
    "--raw_scale",
    default=255.0,
    show_default=True,
    help="Multiply pixels from 0 to 1 by this before the mean is subtracted.",
)
@click.option(
    "--input-scale",
    "--input_scale",
    default=1.0,
    show_default=True,
    help="Multiply by this after the mean was subtracted; the 'scale' of a transform_param.",
)
@click.option(
    "--channel-order",
    type=click.Choice(["BGR", "RGB"]),
    default="BGR",
    show_default=True,
    help="Order of the channels that the net was trained with.",
)
@click.option("--image-size", type=Size(), help="Resize images to this first.  [default: the size of the net's input]")
@click.option(
    "--oversample/--center-only",
    default=False,
    show_default=True,
    help="Average over ten crops (corners, centre, mirrored), or take the centre.",
)
@click.option("--top", "count", default=5, show_default=True, type=click.IntRange(1), help="How many classes to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@gpu_option
def classify(
    images: tuple[str, ...],
    model: str,
    weights: str,
    mean: str | None,
    labels: str | None,
    raw_scale: float,
    input_scale: float,
    channel_order: str,
    image_size: tuple[int, int] | None,
    oversample: bool,
    count: int,
    as_json: bool,
    gpu: str | None,
) -> None:
    """Classify image files, and print the likeliest classes of each IMAGE.

    Nets with one input channel get the images in grey. Mean images are resized to the net's input.
    """
    log_to_stderr()
    report_known(weights)
    names = _read_labels(labels) if labels else None
    net = _classifier(model, weights, image_size, choose_device(gpu))
    in_ = net.inputs[0]
    channels = net.blobs[in_].channels
    if channels not in (1, 3):
        raise NetError(f"Input '{in_}' has {channels} channels; images have 1 or 3.", file=model)
    net.transformer.set_raw_scale(in_, raw_scale)
    net.transformer.set_input_scale(in_, input_scale)
    if mean is not None:
        net.transformer.set_mean(in_, _read_mean(mean, channels))
    if channels == 3 and channel_order == "BGR":
        net.transformer.set_channel_swap(in_, (2, 1, 0))
    results = []
    for image, scores in _predict(net, images, oversample, color=channels == 3):
        classes = _likeliest(scores, count, names, labels)
        results.append({"image": image, "predictions": classes})
        if not as_json:
            click.echo(f"---------- Prediction for {image} ----------")
            for one in classes:
                click.echo(f'{one["score"]:.4f} - "{one["label"] or one["class"]}"')
    if as_json:
        click.echo(json.dumps(results, indent=2))


def _classifier(model: str, weights: str, image_size: tuple[int, int] | None, device: Any) -> Classifier:
    from caffe_port.pycaffe import mode
    from caffe_port.pycaffe.classifier import Classifier

    if device.type == "cuda":
        mode.set_device(device.index)
        mode.set_mode_gpu()
    else:
        mode.set_mode_cpu()
    return Classifier(model, weights, image_size)


def _predict(net: Classifier, images: Sequence[str], oversample: bool, color: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Each image with the scores of the classes; as many images are held as the net takes at once."""
    from caffe_port.pycaffe.io import load_image

    batch = max(1, net.blobs[net.inputs[0]].num)
    for start in range(0, len(images), batch):
        names = images[start : start + batch]
        predictions = net.predict([load_image(name, color) for name in names], oversample)
        yield from zip(names, predictions.reshape(len(names), -1))


def _likeliest(scores: np.ndarray, count: int, names: list[str] | None, labels: str | None) -> list[dict[str, Any]]:
    if names is not None and len(names) != len(scores):
        raise DataError(f"names {len(names)} classes, but the net has {len(scores)}.", file=labels)
    best = (-scores).argsort(kind="stable")[:count].tolist()
    return [{"class": i, "label": names[i] if names else None, "score": float(scores[i])} for i in best]


def _read_mean(text: str, channels: int) -> np.ndarray:
    """The mean that ``--mean`` names."""
    import numpy as np

    from caffe_port.proto.means import read_mean

    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        return read_mean(text)
    return np.array(values * channels if len(values) == 1 else values)


def _read_labels(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", file=path) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8.", file=path) from None
