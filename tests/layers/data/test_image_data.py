from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port.errors import CaffeWarning, DataError, LayerError
from tests.data.make import images, write_png
from tests.layers.harness import checks, make_layer, run


def make_list(folder, pixels):
    """The images as files, and their list; the label is the number."""
    lines = []
    for number, image in enumerate(pixels):
        write_png(folder / f"img {number}.png", image)
        lines.append(f"img {number}.png {number}")
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder


def text(folder, batch=4, transform="", more=""):
    return f"""name: "data" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }}
        image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: {batch} {more} }}"""


def labels(layer, count):
    return [int(label) for _ in range(count) for label in run(layer)[1]]


@checks("ImageData", "numeric")
def test_batches(tmp_path):
    pixels = images(10)
    layer = make_layer(text(make_list(tmp_path, pixels)))
    assert layer.reshape([]) == [(4, 3, 8, 7), (4,)]
    for batch in range(6):
        data, label = run(layer)
        wanted = [(batch * 4 + j) % 10 for j in range(4)]
        np.testing.assert_array_equal(label, wanted)
        np.testing.assert_array_equal(data, pixels[wanted])


@checks("ImageData", "gradient")
def test_no_gradient(tmp_path):
    layer = make_layer(text(make_list(tmp_path, images(4))))
    assert [top.requires_grad for top in layer()] == [False, False]


@pytest.mark.parametrize(("colour", "channels"), [("true", 3), ("false", 1)])
def test_resize_then_transform(tmp_path, colour, channels):
    pixels = images(2, (3, 30, 20))
    make_list(tmp_path, pixels)
    more = f"new_height: 12 new_width: 10 is_color: {colour}"
    layer = make_layer(text(tmp_path, 2, "crop_size: 6 mean_value: 100 scale: 0.5", more), phase="TEST")
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    for got, number in zip(run(layer)[0], range(2)):
        image = cv2.resize(cv2.imread(str(tmp_path / f"img {number}.png"), flag), (10, 12))
        image = np.atleast_3d(image).astype(np.float64).transpose(2, 0, 1)
        np.testing.assert_array_equal(got, (image[:, 3:9, 2:8] - 100) * 0.5)


def test_shuffle_permutes_every_epoch_anew(tmp_path):
    layer = make_layer(text(make_list(tmp_path, images(10)), 5, more="shuffle: true"))
    epochs = [labels(layer, 2) for _ in range(8)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 8
    assert epochs[0] != list(range(10))


def test_shuffled_batches_cross_the_end_of_an_epoch(tmp_path):
    make_list(tmp_path, images(10))
    long = labels(make_layer(text(tmp_path, 4, more="shuffle: true")), 5)
    assert sorted(long[:10]) == sorted(long[10:]) == list(range(10))


def test_resume_and_thread_count(tmp_path):
    line = text(make_list(tmp_path, images(10)), 4, "crop_size: 5 mirror: true", "shuffle: true rand_skip: 7")
    layer = make_layer(line)
    reference = [run(layer) for _ in range(9)]
    other = make_layer(line)
    for other.workers in (1, 4):
        for start in (6, 0, 8):
            other.passes = start
            for got, wanted in zip(run(other), reference[start]):
                np.testing.assert_array_equal(got, wanted)


def test_rand_skip_starts_anywhere_below(tmp_path):
    make_list(tmp_path, images(10))
    starts = set()
    for seed in range(40):
        layer = make_layer(text(tmp_path, 10, more="rand_skip: 4"), seed=seed)
        first = labels(layer, 1)
        assert first == [(first[0] + i) % 10 for i in range(10)]
        starts.add(first[0])
    assert starts == {0, 1, 2, 3}


@checks("ImageData", "errors")
@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ("new_height: 3", "new_height and new_width must be set at the same time"),
        ("new_width: 3", "new_height and new_width must be set at the same time"),
    ],
)
def test_refused(tmp_path, more, cause):
    with pytest.raises(LayerError, match=cause):
        make_layer(text(tmp_path, more=more))


def test_batch_size_0_and_no_source(tmp_path):
    with pytest.raises(LayerError, match="Positive batch size required"):
        make_layer(text(tmp_path, 0))
    with pytest.raises(LayerError, match="image_data_param has no source"):
        make_layer('type: "ImageData" top: "d" top: "l"')


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match=r"list.txt, layer 'data' \(ImageData\): The list cannot be read"):
        make_layer(text(tmp_path))
    make_list(tmp_path, images(10))
    (tmp_path / "img 5.png").unlink()
    layer = make_layer(text(tmp_path))
    run(layer)
    with pytest.raises(DataError, match=r"img 5.png, layer 'data' \(ImageData\): Could not open or find file"):
        layer()


def test_rand_skip_beyond_the_list(tmp_path):
    make_list(tmp_path, images(2))
    with pytest.raises(DataError, match="Not enough points to skip"):
        make_layer(text(tmp_path, 1, more="rand_skip: 4000000000"))


def test_images_of_other_sizes(tmp_path):
    make_list(tmp_path, [images(1)[0], images(1, (3, 4, 4))[0]])
    layer = make_layer(text(tmp_path, 1))
    assert [layer()[0].shape[2:] for _ in range(2)] == [(8, 7), (4, 4)]
    with pytest.raises(DataError, match=r"img 1.png' has the shape \(3, 4, 4\)"):
        make_layer(text(tmp_path, 2))()


def test_force_gray_is_for_databases(tmp_path):
    make_list(tmp_path, images(4))
    with pytest.warns(CaffeWarning, match="force_gray in TransformationParameter without effect"):
        assert make_layer(text(tmp_path, transform="force_gray: true")).reshape([])[0][1] == 3
