import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def layer_of(fields, shape):
    return make_layer(f'type: "MVN" mvn_param {{ {fields} }}', shape)


def normalise(values, eps, variance=True):
    centred = values - sum(values.ravel()) / values.size
    return centred / (np.sqrt(sum(centred.ravel() ** 2) / values.size) + eps) if variance else centred


@checks("MVN", "numeric")
@pytest.mark.parametrize(
    ("fields", "across", "variance", "eps"),
    [
        ("", False, True, 1e-9),
        ("across_channels: true", True, True, 1e-9),
        ("normalize_variance: false", False, False, 0),
        ("across_channels: true normalize_variance: false eps: 0.5", True, False, 0),
        ("eps: 0.5", False, True, 0.5),
        ("across_channels: true eps: 2", True, True, 2),
    ],
)
def test_mvn_is_the_literal_loop(fields, across, variance, eps):
    x = rng().standard_normal((2, 3, 4, 5)) * 2 + 5
    (y,) = run(layer_of(fields, x.shape), x)
    for n in range(2):
        if across:
            np.testing.assert_allclose(y[n], normalise(x[n], eps, variance), rtol=1e-8)
        else:
            for c in range(3):
                np.testing.assert_allclose(y[n, c], normalise(x[n, c], eps, variance), rtol=1e-8)


@checks("MVN", "numeric")
def test_missing_axes_count_as_one():
    x = rng().standard_normal((2, 5))
    (y,) = run(layer_of("across_channels: true", x.shape), x)
    assert y.shape == (2, 5, 1, 1)
    np.testing.assert_allclose(y[0, :, 0, 0], normalise(x[0], 1e-9), rtol=1e-8)
    (y,) = run(layer_of("", (2, 3, 4)), rng().standard_normal((2, 3, 4)))
    assert y.shape == (2, 3, 4, 1)
    np.testing.assert_allclose(y.mean(axis=(2, 3)), np.zeros((2, 3)), atol=1e-12)


@checks("MVN", "gradient")
@pytest.mark.parametrize("fields", ["", "across_channels: true", "normalize_variance: false"])
def test_mvn_gradient(fields):
    gradcheck(layer_of(fields, (2, 2, 3, 3)), rng().standard_normal((2, 2, 3, 3)))


@checks("MVN", "gradient")
def test_with_a_large_eps_the_gradient_is_that_of_caffe():
    # Caffe: (dy - mean(dy) - mean(dy * y) * y) / (sqrt(variance) + eps), which is not the derivative for eps > 0.
    x, dy = rng().standard_normal((2, 2, 3, 4, 4))
    (dx,), _ = gradients(layer_of("eps: 0.5", x.shape), [x], [dy])
    for n, c in np.ndindex(2, 3):
        y, d = normalise(x[n, c], 0.5), dy[n, c]
        expected = (d - d.mean() - (d * y).mean() * y) / (x[n, c].std() + 0.5)
        np.testing.assert_allclose(dx[n, c], expected, rtol=1e-9, atol=1e-12)


@checks("MVN", "errors")
def test_mvn_refuses_more_than_four_axes():
    with pytest.raises(LayerError, match="at most 4"):
        layer_of("", (1, 2, 3, 4, 5))
