"""convert_imageset against the databases that Caffe's tool made, and against OpenCV where there are none."""

from __future__ import annotations

import itertools
import os
import shutil
import warnings

import cv2
import lmdb
import numpy as np
import pytest

from caffe_port.data import convert
from caffe_port.data.convert import ImageOptions, convert_imageset
from caffe_port.data.database import new_database, open_database
from caffe_port.data.datum import datum_to_array, parse_datum
from caffe_port.errors import CaffeWarning, DataError
from caffe_port.proto import pb
from tests.data.make import images, write_png
from tests.shared import ORACLE

DATA = ORACLE / "data"
SIZE = {"resize_height": 40, "resize_width": 36}


def records(path, backend="LMDB"):
    database = open_database(path, backend)
    return list(itertools.islice(database.records(), len(database)))


def datums(path):
    return {key.decode(): parse_datum(value, name="") for key, value in records(path)}


@pytest.fixture
def folder(tmp_path):
    """Copies of the images behind the reference databases, and a list of some."""
    shutil.copytree(DATA / "images", tmp_path / "images")
    (tmp_path / "list.txt").write_text("img0.jpg 3\nimg1.png 1\n")
    return tmp_path


def run(folder, *lines, **options):
    """Convert the images in ``lines`` and return the outcome and the datums."""
    if lines:
        (folder / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    done = convert_imageset(f"{folder}/images/", folder / "list.txt", folder / "db", ImageOptions(**options))
    return done, datums(folder / "db")


@pytest.mark.parametrize(
    ("name", "backend", "options"),
    [
        ("lmdb", "LMDB", {}),
        ("leveldb", "LEVELDB", {}),
        ("lmdb_gray", "LMDB", {"gray": True}),
        ("lmdb_encoded", "LMDB", {"encoded": True, "encode_type": "png"}),
        ("lmdb_encoded", "LMDB", {"encode_type": "png"}),
    ],
)
def test_every_record_is_caffes(name, backend, options, tmp_path):
    options = ImageOptions(**SIZE, **options)
    done = convert_imageset(f"{DATA}/images/", DATA / "list.txt", tmp_path / "db", options, backend=backend)
    assert (done.count, done.skipped) == (10, [])
    expected = records(DATA / name, backend)
    assert len(expected) == 10
    assert records(tmp_path / "db", backend) == expected


def test_without_resizing_images_keep_their_sizes(folder):
    _, found = run(folder)
    for name, label in (("00000000_img0.jpg", 3), ("00000001_img1.png", 1)):
        image = cv2.imread(str(folder / "images" / name[9:]))
        np.testing.assert_array_equal(datum_to_array(found[name]), image.transpose(2, 0, 1))
        assert found[name].label == label
        assert found[name].HasField("encoded")
        assert not found[name].encoded


@pytest.mark.parametrize(
    ("name", "options", "kept"),
    [
        ("img0.jpg", {"encoded": True}, True),
        ("img1.png", {"encoded": True}, True),
        ("img0.jpg", {"encode_type": "jpg"}, True),
        ("img0.JPG", {"encode_type": "jpg"}, True),
        ("img0.jpg", {"encode_type": "JPG"}, True),
        ("img0.jpeg", {"encode_type": "jpg"}, True),
        ("img0.jpg", {"encode_type": "jpeg"}, False),
        ("img0.jpg", {"encode_type": "png"}, False),
        ("img0.jpg", {"encoded": True, "encode_type": "bmp"}, False),
        ("img0.jpg", {"encoded": True, **SIZE}, False),
    ],
)
def test_encoded_files_are_kept_where_nothing_changes(name, options, kept, folder):
    if not (folder / "images" / name).exists():
        (folder / "images" / "img0.jpg").rename(folder / "images" / name)
    _, found = run(folder, f"{name} 7", **options)
    (datum,) = found.values()
    file = folder / "images" / name
    image = cv2.imread(str(file))
    if "resize_width" in options:
        image = cv2.resize(image, (36, 40))
    expected = file.read_bytes() if kept else cv2.imencode(f".{options.get('encode_type', 'jpg')}", image)[1].tobytes()
    assert datum == pb.Datum(data=expected, label=7, encoded=True)


def test_gray_reencodes_in_gray_but_keeps_files_as_caffe_does(folder):
    with pytest.warns(CaffeWarning, match="1 image files are stored as they are: gray does not change their colour"):
        _, found = run(folder, "img0.jpg 0", "img1.png 0", gray=True, encode_type="png")
    first, second = found.values()
    gray = cv2.imread(str(folder / "images" / "img0.jpg"), cv2.IMREAD_GRAYSCALE)
    assert first.data == cv2.imencode(".png", gray)[1].tobytes()
    assert second.data == (folder / "images" / "img1.png").read_bytes()


def test_one_side_alone_does_not_resize_but_reencodes(folder):
    with pytest.warns(CaffeWarning, match="both resize_height and resize_width"):
        _, found = run(folder, "img0.jpg 0", encoded=True, resize_height=20)
    (datum,) = found.values()
    image = cv2.imread(str(folder / "images" / "img0.jpg"))
    assert datum.data == cv2.imencode(".jpg", image)[1].tobytes()


def test_negative_sizes_do_not_resize(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, found = run(folder, "img0.jpg 0", encoded=True, resize_height=-1, resize_width=-5)
    assert [datum.data for datum in found.values()] == [(folder / "images" / "img0.jpg").read_bytes()]


def test_unreadable_images_are_named_and_counted(folder, caplog):
    (folder / "images" / "broken.jpg").write_bytes(b"no image")
    with pytest.warns(CaffeWarning, match="2 of 4 images could not be read and are not in the database"):
        done, found = run(folder, "img0.jpg 0", "gone.jpg 1", "broken.jpg 2", "img1.png -3")
    assert done.count == 2
    assert done.skipped == [f"{folder}/images/gone.jpg", f"{folder}/images/broken.jpg"]
    assert [(key, datum.label) for key, datum in found.items()] == [("00000000_img0.jpg", 0), ("00000003_img1.png", -3)]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert "gone.jpg: Could not open or find file" in errors[0]
    assert "broken.jpg: Could not decode" in errors[1]


def test_nothing_readable_is_an_error_and_leaves_no_database(folder):
    with pytest.raises(DataError, match=r"list.txt: None of its 2 images could be read.*slash"):
        convert_imageset(f"{folder}/images", folder / "list.txt", folder / "db")
    assert not (folder / "db").exists()


@pytest.mark.parametrize("options", [{}, {"encoded": True}])
def test_check_size(options, folder):
    with pytest.raises(DataError, match=r"img1.png: Incorrect data field size: 5520 values, but 8442 in '.*img0.jpg'"):
        run(folder, check_size=True, **options)
    assert not (folder / "db").exists()
    _, found = run(folder, check_size=True, **SIZE, **options)
    assert len(found) == 2


def test_shuffle_follows_from_the_seed(tmp_path):
    (tmp_path / "images").mkdir()
    for i, pixels in enumerate(images(30, (3, 4, 4))):
        write_png(tmp_path / "images" / f"{i}.png", pixels)
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(30)))
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", None)):
        convert_imageset(f"{tmp_path}/images/", tmp_path / "list.txt", tmp_path / name, shuffle=True, seed=seed)
        found = datums(tmp_path / name)
        labels = [datum.label for datum in found.values()]
        assert sorted(labels) == list(range(30))
        assert list(found) == [f"{number:08d}_{label}.png" for number, label in enumerate(labels)]
        for label, datum in zip(labels, found.values()):
            image = cv2.imread(str(tmp_path / "images" / f"{label}.png"))
            np.testing.assert_array_equal(datum_to_array(datum), image.transpose(2, 0, 1))
        orders.append(labels)
    assert orders[0] == orders[1]
    assert list(range(30)) not in orders
    assert len({tuple(order) for order in orders}) == 3


def test_progress_and_log_lines(folder, caplog, monkeypatch):
    monkeypatch.setattr(convert, "LOG_EVERY", 2)
    lines = [f"img{i}.{'jpg' if i % 2 == 0 else 'png'} 0" for i in (0, 1, 2, 4, 5)]
    (folder / "list.txt").write_text("\n".join(lines))
    seen = []
    with caplog.at_level("INFO", "caffe_port"):
        convert_imageset(
            f"{folder}/images/",
            folder / "list.txt",
            folder / "db",
            ImageOptions(encode_type="png"),
            progress=lambda done, total: seen.append((done, total)),
        )
    assert seen == [(i, 5) for i in range(1, 6)]
    assert [record.getMessage() for record in caplog.records] == [
        "A total of 5 images.",
        "encode_type specified, assuming encoded=true.",
        "Processed 2 files.",
        "Processed 4 files.",
        "Processed 5 files.",
    ]


def test_a_name_that_is_no_utf8(folder):
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(folder / "images" / "img1.png", folder / "images" / name)
    (folder / "list.txt").write_bytes(b"caf\xe9.png 4\n")
    convert_imageset(f"{folder}/images/", folder / "list.txt", folder / "db")
    assert [key for key, _ in records(folder / "db")] == [b"00000000_caf\xe9.png"]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (["img0.jpg x"], {}, r"list.txt:1: 'img0.jpg x' is not '<image path> <integer label>'"),
        (["img1.png 0", "img0.jpg 2147483648"], {}, r"list.txt:2: Label 2147483648 is no 32-bit integer"),
        (["img0.jpg 0"], {"encode_type": "docx"}, r"img0.jpg: cannot be encoded as 'docx': .*encode_type.*png"),
        (["img0.jpg 0", "plain 0"], {"encoded": True}, r"plain: Failed to guess the encoding of 'plain'"),
        (["img0.jpg 0", "dot. 0"], {"encoded": True}, r"dot\.: Failed to guess the encoding"),
    ],
)
def test_refused(lines, options, message, folder):
    for name in ("plain", "dot."):
        shutil.copy(folder / "images" / "img1.png", folder / "images" / name)
    with pytest.raises(DataError, match=message):
        run(folder, *lines, **options)
    assert not (folder / "db").exists()


def test_an_existing_database_is_refused_and_left_alone(folder):
    run(folder)
    before = records(folder / "db")
    with pytest.raises(DataError, match="db: The database exists already"):
        run(folder)
    assert records(folder / "db") == before


def test_missing_list_and_unknown_backend(folder):
    with pytest.raises(DataError, match=r"gone.txt: The list cannot be read"):
        convert_imageset("", folder / "gone.txt", folder / "db")
    with pytest.raises(DataError, match="Unknown database backend 'lmdb'"):
        convert_imageset(f"{folder}/images/", folder / "list.txt", folder / "db", backend="lmdb")


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_new_database_is_whole_or_absent(error, tmp_path):
    def fail():
        with new_database(tmp_path / "db", "LMDB") as writer:
            for number in range(writer.PENDING + 1):
                writer.put(b"%05d" % number, b"x")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []
    with new_database(tmp_path / "db", "LMDB") as writer:
        writer.put(b"key", b"value")
    assert records(tmp_path / "db") == [(b"key", b"value")]


def test_what_the_backend_refuses_is_a_data_error(tmp_path):
    with (
        pytest.raises(DataError, match=r"db: cannot be written: .*MDB_BAD_VALSIZE") as caught,
        new_database(tmp_path / "db", "LMDB") as writer,
    ):
        writer.put(b"k" * 600, b"")
    assert isinstance(caught.value.__cause__, lmdb.Error)
    assert not (tmp_path / "db").exists()
