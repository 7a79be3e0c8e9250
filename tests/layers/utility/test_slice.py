import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


def text(tops, param):
    return 'type: "Slice" ' + " ".join(f'top: "{n}"' for n in range(tops)) + f" slice_param {{ {param} }}"


@checks("Slice", "numeric")
@pytest.mark.parametrize(
    ("tops", "param", "axis", "sizes"),
    [
        (3, "", 1, [2, 2, 2]),
        (3, "slice_point: 1 slice_point: 4", 1, [1, 3, 2]),
        (2, "axis: -1", 3, [1, 1]),
        (2, "axis: 0 slice_point: 1", 0, [1, 3]),
        (2, "slice_dim: 0", 0, [2, 2]),
        (1, "", 1, [6]),
        (2, "axis: 2 slice_point: 3", 2, [3, 0]),
    ],
)
def test_slice_places_every_value(tops, param, axis, sizes):
    x = rng().standard_normal((4, 6, 3, 2))
    parts = run(make_layer(text(tops, param), x.shape), x)
    assert [part.shape[axis] for part in parts] == sizes
    offset = 0
    for part in parts:
        for at in np.ndindex(part.shape):
            assert part[at] == x[(*at[:axis], at[axis] + offset, *at[axis + 1 :])]
        offset += part.shape[axis]


@checks("Slice", "gradient")
def test_slice_gradient():
    gradcheck(make_layer(text(2, "slice_point: 1"), (2, 4, 2)), rng().standard_normal((2, 4, 2)))


@checks("Slice", "errors")
@pytest.mark.parametrize(
    ("tops", "param", "match"),
    [
        (2, "axis: 1 slice_dim: 1", "both axis and slice_dim"),
        (2, "slice_point: 1 slice_point: 2", "2 slice points for 2 tops"),
        (3, "slice_point: 2 slice_point: 2", "must increase"),
        (2, "slice_point: 0", "must increase"),
        (2, "slice_point: 7", "do not fit an axis of 6"),
        (4, "", "must evenly divide"),
        (2, "axis: 2", "out of range"),
        (2, "slice_dim: 2", "out of range"),
    ],
)
def test_slice_refuses_misfits(tops, param, match):
    with pytest.raises(LayerError, match=match):
        make_layer(text(tops, param), (4, 6))


@checks("Slice", "errors")
def test_more_tops_than_entries_are_refused():
    with pytest.raises(LayerError, match="do not fit an axis of 2 with 3 tops"):
        make_layer(text(3, "slice_point: 1 slice_point: 2"), (4, 2))
