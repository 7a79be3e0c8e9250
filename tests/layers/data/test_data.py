from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch

from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeError, CaffeWarning, DataError, LayerError
from caffe_port.layers import LayerContext, create_layer
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from tests.data.make import encoded_datum, image_database, images, write_database, write_mean
from tests.layers.harness import checks, make_layer, run
from tests.shared import IMAGES, needs

MNIST = IMAGES / "mnist" / "mnist-train-leveldb"


def text(path, batch=4, backend="LMDB", transform="", tops=2, more=""):
    names = ' top: "label"' if tops == 2 else ""
    return f"""name: "data" type: "Data" top: "data"{names} transform_param {{ {transform} }}
        data_param {{ source: "{path}" batch_size: {batch} backend: {backend} {more} }}"""


def with_context(text, **context):
    return create_layer(parse_text(text, pb.LayerParameter), LayerContext(seed=1, **context))


def batches(layer, count):
    return [[top.numpy() for top in layer()] for _ in range(count)]


@checks("Data", "numeric")
@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches(tmp_path, backend, dtype):
    pixels = images(10)
    layer = make_layer(text(image_database(tmp_path / "db", pixels, backend), backend=backend), dtype=dtype)
    assert layer.reshape([]) == [(4, 3, 8, 7), (4,)]
    for batch in range(6):
        data, label = run(layer)
        wanted = [(batch * 4 + j) % 10 for j in range(4)]
        assert data.dtype == label.dtype == {torch.float32: np.float32, torch.float64: np.float64}[dtype]
        np.testing.assert_array_equal(label, wanted)
        np.testing.assert_array_equal(data, pixels[wanted])


@checks("Data", "gradient")
def test_no_gradient(tmp_path):
    layer = make_layer(text(image_database(tmp_path / "db", images(4))))
    assert [top.requires_grad for top in layer()] == [False, False]
    assert list(layer.parameters()) == []
    assert layer.state_dict() == {}


def test_a_batch_larger_than_the_database(tmp_path):
    layer = make_layer(text(image_database(tmp_path / "db", images(3)), batch=7))
    assert run(layer)[1].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_without_label(tmp_path):
    layer = make_layer(text(image_database(tmp_path / "db", images(4)), tops=1))
    assert layer.reshape([]) == [(4, 3, 8, 7)]
    assert [top.shape for top in run(layer)] == [(4, 3, 8, 7)]


def test_float_data_and_missing_labels(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(np.float32)
    path = write_database(tmp_path / "db", [array_to_datum(v) for v in values])
    data, label = run(make_layer(text(path, batch=2)))
    np.testing.assert_array_equal(data, values)
    assert label.tolist() == [0, 0]


@pytest.mark.parametrize(("force", "channels"), [("", 3), ("force_color: true", 3), ("force_gray: true", 1)])
def test_encoded(tmp_path, force, channels):
    pixels = images(4)
    path = write_database(tmp_path / "db", [encoded_datum(p, i) for i, p in enumerate(pixels)])
    layer = make_layer(text(path, transform=force))
    assert layer.reshape([])[0] == (4, channels, 8, 7)
    data = run(layer)[0]
    if channels == 3:
        np.testing.assert_array_equal(data, pixels)


def test_transform_in_train(tmp_path):
    """Every image served is one of the 4 x 3 crops or their mirrors, less the mean, times the scale; and they vary."""
    pixels, mean = images(6), np.random.default_rng(3).normal(100, 9, (3, 8, 7)).astype(np.float32)
    write_mean(tmp_path / "mean", mean)
    transform = f'crop_size: 5 mirror: true scale: 0.5 mean_file: "{tmp_path}/mean"'
    path = image_database(tmp_path / "db", pixels)
    layer = make_layer(text(path, 6, transform=transform), dtype=torch.float32)
    seen = set()
    for _ in range(20):
        for image, number in zip(*run(layer)):
            ready = (pixels[int(number)] - mean) * np.float32(0.5)
            found = [
                (top, left, flip)
                for top in range(4)
                for left in range(3)
                for flip in (1, -1)
                if np.array_equal(image, ready[:, top : top + 5, left : left + 5][:, :, ::flip])
            ]
            assert len(found) == 1
            seen.update(found)
    assert len(seen) == 24


@pytest.mark.parametrize("workers", [1, 3])
def test_resume_and_thread_count(tmp_path, workers):
    """Batch b is a function of the seed and b."""
    line = text(image_database(tmp_path / "db", images(10)), transform="crop_size: 5 mirror: true")
    reference = batches(make_layer(line), 12)
    layer = make_layer(line)
    layer.workers = workers
    for start in (0, 7, 2, 2, 11, 3):
        layer.passes = start
        for got, wanted in zip(layer(), reference[start]):
            np.testing.assert_array_equal(got.numpy(), wanted)
        assert layer.passes == start + 1
    other = batches(make_layer(line, seed=2), 1)[0]
    assert not np.array_equal(other[0], reference[0][0])


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_out_the_records(tmp_path, world):
    line = text(image_database(tmp_path / "db", images(10)), batch=2, transform="mirror: true")
    alone = with_context(text(tmp_path / "db", batch=2 * world, transform="mirror: true"), phase=pb.TRAIN)
    wanted = batches(alone, 7)
    for rank in range(world):
        layer = with_context(line, phase=pb.TRAIN, rank=rank, world=world)
        for got, whole in zip(batches(layer, 7), wanted):
            for a, b in zip(got, whole):
                np.testing.assert_array_equal(a, b[rank::world])


def test_test_nets_are_not_shared_out(tmp_path):
    line = text(image_database(tmp_path / "db", images(10)))
    layer = with_context(line, phase=pb.TEST, rank=1, world=2)
    assert layer()[1].tolist() == [0, 1, 2, 3]


def test_two_layers_on_one_database(tmp_path):
    path = image_database(tmp_path / "db", images(10))
    train, test = make_layer(text(path)), make_layer(text(path, batch=3), phase="TEST")
    assert run(train)[1].tolist() == [0, 1, 2, 3]
    assert run(test)[1].tolist() == [0, 1, 2]
    assert run(train)[1].tolist() == [4, 5, 6, 7]


def test_sizes_may_change_between_batches(tmp_path):
    small, large = images(1, (3, 4, 5))[0], images(1, (3, 6, 4))[0]
    path = write_database(tmp_path / "db", [array_to_datum(small, 0), array_to_datum(large, 1)])
    layer = make_layer(text(path, batch=1))
    np.testing.assert_array_equal(layer()[0][0], small)
    np.testing.assert_array_equal(layer()[0][0], large)


def test_threads_start_at_the_first_forward_and_end_with_the_layer(tmp_path):
    before = set(threading.enumerate())  # some of them may belong to layers that await collection
    layer = make_layer(text(image_database(tmp_path / "db", images(10))))
    assert before.issuperset(threading.enumerate())
    layer()
    assert not before.issuperset(threading.enumerate())
    layer.close()
    assert before.issuperset(threading.enumerate())
    assert layer()[1].tolist() == [4, 5, 6, 7]
    threads = [t for t in threading.enumerate() if t.name.startswith("prefetch")]
    del layer
    gc.collect()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_tops_follow_the_device_and_type(tmp_path):
    layer = make_layer(text(image_database(tmp_path / "db", images(10))), dtype=torch.float32)
    assert {top.dtype for top in layer()} == {torch.float32}
    assert {top.dtype for top in layer.double()()} == {torch.float64}
    layer.to("meta")
    assert {top.device.type for top in layer()} == {"meta"}


@checks("Data", "errors")
@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (text("x", batch=0), "Positive batch size required"),
        (text(""), "data_param has no source"),
        (text("x", more="prefetch: 0"), "prefetch must be at least 1"),
    ],
)
def test_refused(line, cause):
    with pytest.raises(LayerError, match=rf"layer 'data' \(Data\): {cause}"):
        make_layer(line)


@pytest.mark.parametrize(
    ("transform", "cause"),
    [
        ("crop_size: 8", "record '00000000_img0': crop_size 8 is larger than the image of 8 x 7"),
        ("mean_value: 1 mean_value: 2", "Specify either 1 mean_value or as many as channels: 3, not 2"),
        ('mean_value: 1 mean_file: "x"', "mean_file and mean_value at the same time"),
        ("force_color: true force_gray: true", "both force_color and force_gray"),
        ('mean_file: "/nowhere/mean"', "/nowhere/mean"),
    ],
)
def test_refused_transforms(tmp_path, transform, cause):
    path = image_database(tmp_path / "db", images(4))
    with pytest.raises(CaffeError, match=cause) as caught:
        make_layer(text(path, transform=transform))
    assert "layer 'data' (Data)" in str(caught.value)


def test_missing_database(tmp_path):
    with pytest.raises(DataError, match=r"no, layer 'data' \(Data\): The database does not exist"):
        make_layer(text(tmp_path / "no"))


def test_the_default_backend_is_leveldb(tmp_path):
    path = image_database(tmp_path / "db", images(4))
    with pytest.raises(
        DataError, match=r"holds LMDB data, but the backend is LEVELDB. Set data_param { backend: LMDB }"
    ):
        make_layer(f'name: "data" type: "Data" top: "data" data_param {{ source: "{path}" batch_size: 1 }}')


def test_a_corrupt_record_is_named_in_its_turn(tmp_path):
    datums = [array_to_datum(p, i) for i, p in enumerate(images(10))]
    datums[6].data = datums[6].data[:-1]
    layer = make_layer(text(write_database(tmp_path / "db", datums)))
    assert run(layer)[1].tolist() == [0, 1, 2, 3]
    for _ in range(2):  # a second attempt says the same
        with pytest.raises(DataError, match=r"db, layer 'data' \(Data\): record '00000006_img6' holds 167 values"):
            layer()
    assert layer.passes == 1
    layer.passes = 5
    assert layer()[1].tolist() == [0, 1, 2, 3]


def test_a_record_of_another_size_is_named(tmp_path):
    datums = [array_to_datum(images(1)[0], 0), array_to_datum(images(1, (3, 7, 7))[0], 1)]
    layer = make_layer(text(write_database(tmp_path / "db", datums), batch=2))
    with pytest.raises(DataError, match=r"record '00000001_img1' has the shape \(3, 7, 7\)"):
        layer()


@pytest.mark.parametrize(
    ("more", "field"),
    [("scale: 2", "scale"), ("rand_skip: 3", "rand_skip"), ("force_encoded_color: true", "force_encoded_color")],
)
def test_fields_without_effect_warn(tmp_path, more, field):
    path = image_database(tmp_path / "db", images(4))
    with pytest.warns(CaffeWarning, match=rf"layer 'data' \(Data\): {field} in DataParameter without effect"):
        layer = make_layer(text(path, more=more))
    np.testing.assert_array_equal(run(layer)[0], images(4))


@needs(MNIST)
def test_mnist():
    layer = make_layer(text(MNIST, 10, "LEVELDB", "scale: 0.00390625"), dtype=torch.float32)
    data, label = run(layer)
    assert label.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the first of train-labels-idx1-ubyte
    assert data.shape == (10, 1, 28, 28)
    assert data.max() == 255 / 256
