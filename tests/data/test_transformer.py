from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from caffe_port.data.transformer import Transformer
from caffe_port.errors import CaffeError, DataError
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.data.make import images, write_mean

LIKE = torch.empty(0)


def make(text="", training=False, seed=1):
    return Transformer(parse_text(text, pb.TransformationParameter), training, seed=seed, name="data")


def transform(transformer, pixels, items=None, like=LIKE):
    names = [f"image {i}" for i in range(len(pixels))]
    cut = transformer.cut(pixels, items or range(len(pixels)), names)
    return transformer.normalise(cut, like).numpy(), cut.windows


def literal(pixels, windows, shape, mean=None, values=(), scale=1.0, dtype=np.float32):
    """Caffe's loops, one pixel at a time in float32."""
    out = np.empty((len(pixels), *shape), dtype)
    scale = dtype(scale)
    for n, (image, window) in enumerate(zip(pixels, windows)):
        for c, h, w in np.ndindex(shape):
            x = dtype(image[c, window.top + h, window.left + w])
            if mean is not None:
                x = x - dtype(mean[c, window.top + h, window.left + w])
            elif values:
                x = x - dtype(np.float32(values[c % len(values)]))
            out[n, c, h, shape[2] - 1 - w if window.mirrored else w] = x * scale
    return out


@pytest.mark.parametrize("crop", [0, 5])
@pytest.mark.parametrize("mirror", ["false", "true"])
@pytest.mark.parametrize("mean", ["none", "file", "one", "each"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_caffes_loops(tmp_path, crop, mirror, mean, training, dtype):
    pixels = images(6)
    image = np.random.default_rng(1).normal(100, 30, (3, 8, 7)).astype(np.float32)
    write_mean(tmp_path / "mean", image)
    field = {
        "none": "",
        "file": f'mean_file: "{tmp_path}/mean"',
        "one": "mean_value: 104.3",
        "each": "mean_value: 104.3 mean_value: 117.1 mean_value: 123.7",
    }[mean]
    text = f"crop_size: {crop} mirror: {mirror} scale: 0.017 {field}"
    transformer = make(text, training)
    got, windows = transform(
        transformer, pixels, range(6, 12), like=torch.empty(0, dtype=getattr(torch, dtype.__name__))
    )
    shape = (3, 5, 5) if crop else (3, 8, 7)
    values = list(transformer.param.mean_value)
    wanted = literal(
        pixels, windows, shape, image if mean == "file" else None, values, transformer.param.scale, dtype=dtype
    )
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, wanted)
    assert any(w.mirrored for w in windows) == (mirror == "true")


def test_float_images_are_not_rounded():
    pixels = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    got, _ = transform(make("scale: 2"), pixels)
    np.testing.assert_array_equal(got, pixels * np.float32(2))
    mixed, _ = transform(make(), [images(1, (1, 4, 4))[0], pixels[0]])
    np.testing.assert_array_equal(mixed[1], pixels[0])


def test_normalise_leaves_the_batch_alone():
    pixels = np.ones((1, 1, 2, 2), np.float32)
    transformer = make("mean_value: 3")
    cut = transformer.cut(pixels, [0], ["it"])
    first = transformer.normalise(cut, LIKE)
    assert torch.equal(transformer.normalise(cut, LIKE), first)


def test_centre_crop_in_test():
    _, windows = transform(make("crop_size: 4"), images(3, (3, 9, 8)))
    assert {(w.top, w.left) for w in windows} == {(2, 2)}


def test_random_crops_and_mirrors_are_uniform():
    """4 x 3 places and 2 mirrors: 24 cells of 200 expected; five standard deviations of the binomial are 69."""
    transformer = make("crop_size: 3 mirror: true", training=True)
    found = Counter(transformer.window((3, 6, 5), item) for item in range(4800))
    assert {(w.top, w.left, w.mirrored) for w in found} == {
        (t, x, m) for t in range(4) for x in range(3) for m in (False, True)
    }
    assert all(131 < count < 269 for count in found.values())


def test_mirror_is_random_in_test_too():
    transformer = make("mirror: true")
    count = sum(transformer.window((3, 6, 5), item).mirrored for item in range(2000))
    assert abs(count - 1000) < 112


def test_the_draw_depends_on_the_item_and_the_seed_alone():
    pixels = images(8)
    text = "crop_size: 3 mirror: true"
    whole, _ = transform(make(text, True), pixels, range(40, 48))
    late, _ = transform(make(text, True), pixels[5:], range(45, 48))
    np.testing.assert_array_equal(whole[5:], late)
    other, _ = transform(make(text, True, seed=2), pixels, range(40, 48))
    assert not np.array_equal(whole, other)


def test_crop_admits_images_of_several_sizes():
    pixels = [images(1, (3, 8, 7))[0], images(1, (3, 5, 9))[0]]
    got, _ = transform(make("crop_size: 5"), pixels)
    np.testing.assert_array_equal(got[0], pixels[0][:, 1:6, 1:6])
    np.testing.assert_array_equal(got[1], pixels[1][:, 0:5, 2:7])


def test_other_sizes_without_crop_name_the_image():
    pixels = [images(1, (3, 8, 7))[0], images(1, (3, 5, 9))[0]]
    with pytest.raises(DataError, match=r"image 1 has the shape \(3, 5, 9\), the first of its batch \(3, 8, 7\)"):
        transform(make(), pixels)
    with pytest.raises(DataError, match="image 1 has the shape"):
        transform(make("crop_size: 2"), [pixels[0], pixels[0][:1]])


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('mean_file: "x" mean_value: 1', "mean_file and mean_value at the same time"),
        ("force_color: true force_gray: true", "both force_color and force_gray"),
        ('mean_file: "/nowhere/mean"', "/nowhere/mean: "),
    ],
)
def test_refused_parameters(text, cause):
    with pytest.raises(CaffeError, match=cause):
        make(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("crop_size: 8", "image 0: crop_size 8 is larger than the image of 8 x 7"),
        ("mean_value: 1 mean_value: 2", "Specify either 1 mean_value or as many as channels: 3, not 2"),
    ],
)
def test_refused_images(text, cause):
    with pytest.raises(DataError, match=cause):
        transform(make(text), images(1))


@pytest.mark.parametrize("shape", [(3, 5, 5), (1, 8, 7), (3, 7, 8)])
def test_the_mean_must_have_the_uncropped_size(tmp_path, shape):
    write_mean(tmp_path / "mean", np.zeros(shape))
    with pytest.raises(DataError, match="the image before cropping"):
        transform(make(f'crop_size: 5 mean_file: "{tmp_path}/mean"'), images(1))


def test_a_mean_of_other_axes(tmp_path):
    proto = pb.BlobProto(data=[1.0, 2.0])
    proto.shape.dim.extend([2])
    (tmp_path / "mean").write_bytes(proto.SerializeToString())
    with pytest.raises(CaffeError, match="mean"):
        make(f'mean_file: "{tmp_path}/mean"')


@pytest.mark.parametrize(("text", "colour"), [("", None), ("force_color: true", True), ("force_gray: true", False)])
def test_colour(text, colour):
    assert make(text).colour is colour
