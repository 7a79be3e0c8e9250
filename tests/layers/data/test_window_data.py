from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeWarning, DataError, LayerError
from tests.data.make import images, write_mean, write_png
from tests.layers.harness import checks, make_layer, run

#: image, label, overlap, x1, y1, x2, y2; the label tells the window.
WINDOWS = [
    (0, 1, 0.9, 2, 3, 12, 10),
    (0, 2, 0.6, 0, 0, 19, 24),
    (0, 3, 0.55, 5, 5, 9, 9),
    (1, 4, 0.5, 1, 2, 17, 8),
    (0, 9, 0.1, 3, 3, 8, 9),
    (1, 9, 0.2, 0, 1, 11, 12),
    (1, 9, 0.45, 0, 1, 11, 12),
]


@pytest.fixture
def folder(tmp_path):
    lines = []
    for number, pixels in enumerate(images(2, (3, 25, 20))):
        write_png(tmp_path / f"{number}.png", pixels)
        windows = [" ".join(map(str, w[1:])) for w in WINDOWS if w[0] == number]
        lines += [f"# {number}", f"{number}.png", "3", "25", "20", str(len(windows)), *windows]
    (tmp_path / "windows.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def text(folder, batch=8, transform="", more="", crop=6, fg=0.5, bg=0.4):
    return f"""name: "data" type: "WindowData" top: "data" top: "label"
        transform_param {{ crop_size: {crop} {transform} }}
        window_data_param {{ source: "{folder}/windows.txt" root_folder: "{folder}/" batch_size: {batch}
        fg_threshold: {fg} bg_threshold: {bg} {more} }}"""


def warped(folder, window, size=6, mean=0.0, flip=False):
    """The window straight from the file."""
    number, _, _, x1, y1, x2, y2 = window
    part = cv2.imread(str(folder / f"{number}.png"))[y1 : y2 + 1, x1 : x2 + 1]
    part = cv2.resize(part, (size, size)).astype(np.float32).transpose(2, 0, 1)
    return part[:, :, ::-1] - mean if flip else part - mean


@checks("WindowData", "numeric")
@pytest.mark.parametrize("mean", ["none", "value", "file"])
@pytest.mark.parametrize("cache", ["", "cache_images: true"])
def test_windows(folder, mean, cache):
    """Backgrounds first, then int(8 * 0.4) = 3 foregrounds; each one of the file's, mirrored or not."""
    image = np.random.default_rng(1).normal(100, 9, (3, 9, 9)).astype(np.float32)
    write_mean(folder / "mean", image)
    transform = {
        "none": "",
        "value": "mean_value: 3 mean_value: 4 mean_value: 5",
        "file": f'mean_file: "{folder}/mean"',
    }
    subtract = {"none": 0, "value": np.float32([3, 4, 5])[:, None, None], "file": image[:, 1:7, 1:7]}[mean]
    layer = make_layer(
        text(folder, 8, transform[mean] + " mirror: true", "fg_fraction: 0.4 scale: 0.5 " + cache), dtype=torch.float32
    )
    assert layer.reshape([]) == [(8, 3, 6, 6), (8,)]
    seen = set()
    for _ in range(12):
        data, label = run(layer)
        assert label[:5].tolist() == [0] * 5
        assert set(label[5:]) <= {1, 2, 3, 4}
        for pixels, kind in zip(data, label):
            candidates = [w for w in WINDOWS if (w[1] == kind if kind else w[2] < 0.4)]
            found = [
                (w, flip)
                for w in candidates
                for flip in (False, True)
                if np.array_equal(pixels, warped(folder, w, mean=subtract, flip=flip) * np.float32(0.5))
            ]
            assert len(found) == 1
            seen.update(found)
    assert len(seen) == 2 * 6


@checks("WindowData", "gradient")
def test_no_gradient(folder):
    assert [top.requires_grad for top in make_layer(text(folder))()] == [False, False]


def test_padding_is_the_mean(folder):
    """A window as large as the image, with context: the border lies outside and stays 0 whatever the mean."""
    (folder / "windows.txt").write_text("# 0\n0.png 3 25 20 1\n1 1 0 0 19 24\n")
    line = text(folder, 1, "mean_value: 50", "fg_fraction: 1 context_pad: 4", crop=20)
    data, label = run(make_layer(line))
    assert label.tolist() == [1]
    inside = data[0] != 0
    assert not inside[:, :3].any()
    assert not inside[:, :, :3].any()
    assert not inside[:, -3:].any()
    assert inside[:, 5:15, 5:15].mean() > 0.9


def test_resume_and_thread_count(folder):
    line = text(folder, transform="mirror: true", more='crop_mode: "square" context_pad: 1')
    layer = make_layer(line)
    reference = [run(layer) for _ in range(6)]
    other = make_layer(line)
    for other.workers in (1, 4):
        for start in (4, 0, 5):
            other.passes = start
            for got, wanted in zip(run(other), reference[start]):
                np.testing.assert_array_equal(got, wanted)
    assert not np.array_equal(run(make_layer(line, seed=2))[0], reference[0][0])


def test_all_windows_are_equally_likely(folder):
    """4 foregrounds of 500 expected each; five standard deviations of the binomial are 97."""
    layer = make_layer(text(folder, 500, more="fg_fraction: 1 cache_images: true", crop=1))
    labels = np.concatenate([run(layer)[1] for _ in range(4)])
    assert np.abs(np.bincount(labels.astype(int))[1:] - 500).max() < 97


@checks("WindowData", "errors")
@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"crop": 0}, "crop_size must be positive"),
        ({"batch": 0}, "Positive batch size required"),
        ({"more": 'crop_mode: "bend"'}, "Unknown crop_mode 'bend'"),
        ({"more": "context_pad: 3"}, "context_pad 3 leaves nothing of crop_size 6"),
        ({"more": "fg_fraction: 2"}, "fg_fraction 2 is not in 0 to 1"),
    ],
)
def test_refused(folder, options, cause):
    with pytest.raises(LayerError, match=rf"layer 'data' \(WindowData\): {cause}"):
        make_layer(text(folder, **options))


def test_refused_sources(folder):
    with pytest.raises(DataError, match="has no foreground windows"):
        make_layer(text(folder, fg=0.95))
    with pytest.raises(DataError, match="has no background windows"):
        make_layer(text(folder, bg=0))
    with pytest.raises(DataError, match="as many as channels: 3, not 2"):
        make_layer(text(folder, transform="mean_value: 1 mean_value: 2"))
    write_mean(folder / "mean", np.zeros((3, 5, 5)))
    with pytest.raises(DataError, match="WindowData needs 3 x n x n, n at least crop_size 6"):
        make_layer(text(folder, transform=f'mean_file: "{folder}/mean"'))
    (folder / "windows.txt").unlink()
    with pytest.raises(DataError, match=r"windows.txt, layer 'data' \(WindowData\): Failed to open window file"):
        make_layer(text(folder))


def test_a_missing_image(folder):
    layer = make_layer(text(folder))
    (folder / "0.png").unlink()
    with pytest.raises(DataError, match=r"0.png, layer 'data' \(WindowData\): Could not open or find file"):
        [layer() for _ in range(3)]


def test_the_scale_is_that_of_window_data_param(folder):
    with pytest.warns(CaffeWarning, match="scale in TransformationParameter without effect"):
        got = run(make_layer(text(folder, transform="scale: 0.5")))[0]
    np.testing.assert_array_equal(got, run(make_layer(text(folder)))[0])
