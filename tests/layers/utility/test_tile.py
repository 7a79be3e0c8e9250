import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Tile", "numeric")
@pytest.mark.parametrize(
    ("param", "axis"), [("tiles: 3", 1), ("tiles: 2 axis: 0", 0), ("tiles: 2 axis: -1", 2), ("tiles: 1", 1)]
)
def test_tile_places_every_value(param, axis):
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make_layer(f'type: "Tile" tile_param {{ {param} }}', x.shape), x)
    assert y.shape[axis] == x.shape[axis] * int(param[7])
    for at in np.ndindex(y.shape):
        assert y[at] == x[(*at[:axis], at[axis] % x.shape[axis], *at[axis + 1 :])]


@checks("Tile", "gradient")
@pytest.mark.parametrize("axis", [0, 1])
def test_tile_gradient(axis):
    text = f'type: "Tile" tile_param {{ tiles: 3 axis: {axis} }}'
    gradcheck(make_layer(text, (2, 3)), rng().standard_normal((2, 3)))


@checks("Tile", "errors")
def test_tile_refuses_misfits():
    with pytest.raises(LayerError, match="has no number of tiles"):
        make_layer('type: "Tile"', (2, 3))
    with pytest.raises(LayerError, match="must be positive, not 0"):
        make_layer('type: "Tile" tile_param { tiles: 0 }', (2, 3))
    with pytest.raises(LayerError, match="out of range"):
        make_layer('type: "Tile" tile_param { tiles: 2 axis: 2 }', (2, 3))
