import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run
from tests.layers.vision import naive


def levels(shape, height):
    """(kernel, pad) of each level, written out: kernel = ceil(in / bins), pad = (kernel * bins - in + 1) / 2."""
    for level in range(height):
        bins = 2**level
        kernel = [int(np.ceil(n / bins)) for n in shape[2:]]
        yield kernel, [(k * bins - n + 1) // 2 for k, n in zip(kernel, shape[2:])]


@checks("SPP", "numeric")
@pytest.mark.parametrize("shape", [(2, 3, 14, 9), (1, 2, 12, 9), (2, 2, 8, 8)])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_spp_is_the_pooled_levels_side_by_side(shape, pool):
    x = rng().standard_normal(shape)
    (y,) = run(make_layer(f'type: "SPP" spp_param {{ pyramid_height: 3 pool: {pool} }}', shape), x)
    parts = []
    for kernel, pad in levels(shape, 3):
        pooled = (
            naive.max_pool(x, kernel, kernel, pad)[0] if pool == "MAX" else naive.average_pool(x, kernel, kernel, pad)
        )
        parts.append(pooled.reshape(shape[0], -1))
    np.testing.assert_allclose(y, np.hstack(parts), rtol=1e-12)


@checks("SPP", "numeric")
def test_a_single_level_is_global_pooling_and_keeps_four_axes():
    x = rng().standard_normal((2, 3, 5, 4))
    (y,) = run(make_layer('type: "SPP" spp_param { pyramid_height: 1 }', x.shape), x)
    np.testing.assert_array_equal(y, x.max(axis=(2, 3), keepdims=True))


@checks("SPP", "numeric")
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_stochastic_spp_samples_an_element_of_each_bin(phase):
    x = rng().uniform(0.1, 1, (3, 2, 4, 4))
    (y,) = run(make_layer('type: "SPP" spp_param { pyramid_height: 2 pool: STOCHASTIC }', x.shape, phase=phase), x)
    assert y.shape == (3, 10)
    for n, c in np.ndindex(3, 2):
        assert y[n, c] in x[n, c]
        for i, j in np.ndindex(2, 2):
            assert y[n, 2 + c * 4 + i * 2 + j] in x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]


@checks("SPP", "gradient")
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_spp_gradient(pool):
    x = rng().permutation(2 * 2 * 5 * 6).reshape(2, 2, 5, 6) / 50
    gradcheck(make_layer(f'type: "SPP" spp_param {{ pyramid_height: 2 pool: {pool} }}', x.shape), x)


@checks("SPP", "errors")
@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ("", (1, 1, 4, 4), "pyramid_height must be at least 1"),
        ("pyramid_height: 3", (1, 1, 5, 5), "must be smaller than the kernel"),
        ("pyramid_height: 2 pool: STOCHASTIC", (1, 1, 5, 5), "for average and max pooling only"),
        ("pyramid_height: 2", (1, 4, 4), "must have 4 axes"),
        ("pyramid_height: 2", (1, 1, 0, 4), "empty plane"),
    ],
)
def test_what_spp_refuses(fields, shape, message):
    with pytest.raises(LayerError, match=message):
        make_layer(f'type: "SPP" spp_param {{ {fields} }}', shape)
