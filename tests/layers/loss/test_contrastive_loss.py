import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradients, make_layer, rng, run

TEXT = 'type: "ContrastiveLoss" contrastive_loss_param {{ margin: 1.5 legacy_version: {} }}'
LABELS = np.array([1.0, 0, 0, 1, 0, 2])


def pairs(shape=(6, 3)):
    a, b = rng().standard_normal(shape), rng(1).standard_normal(shape)
    b[1] = a[1] + 0.1  # a dissimilar pair well within the margin
    return a, b


@checks("ContrastiveLoss", "numeric")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 1, 1)])
def test_contrastive_loss_is_the_literal_loop(legacy, shape):
    a, b = pairs(shape)
    expected = 0.0
    for n in range(6):
        squared = sum((v - w) ** 2 for v, w in zip(a[n].ravel(), b[n].ravel()))
        if LABELS[n]:
            expected += squared
        elif legacy:
            expected += max(1.5 - squared, 0)
        else:
            expected += max(1.5 - squared**0.5, 0) ** 2
    (loss,) = run(make_layer(TEXT.format(str(legacy).lower()), shape, shape, (6,)), a, b, LABELS)
    np.testing.assert_allclose(loss, expected / 6 / 2, rtol=1e-12)


@checks("ContrastiveLoss", "gradient")
@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive_loss_gradient_is_that_of_caffe(legacy):
    """Caffe's formula, which has 1e-4 in the denominator, pair by pair; at distance 0 it is 0, not NaN."""
    a, b = pairs()
    b[4] = a[4]
    expected = np.zeros((6, 3))
    for n in range(6):
        d = a[n] - b[n]
        distance = np.sqrt((d * d).sum())
        if LABELS[n]:
            expected[n] = d / 6
        elif legacy and distance**2 < 1.5:
            expected[n] = -d / 6
        elif not legacy and distance < 1.5:
            expected[n] = -(1.5 - distance) / (distance + 1e-4) * d / 6
    layer = make_layer(TEXT.format(str(legacy).lower()), (6, 3), (6, 3), (6,))
    (da, db), _ = gradients(layer, [a, b, LABELS], [np.array(2.0)], bottoms=(0, 1))
    np.testing.assert_allclose(da, 2 * expected, rtol=1e-10)
    np.testing.assert_allclose(db, -2 * expected, rtol=1e-10)


@checks("ContrastiveLoss", "gradient")
def test_the_labels_get_no_gradient():
    label = torch.zeros(2, requires_grad=True)
    (loss,) = make_layer('type: "ContrastiveLoss"', (2, 3), (2, 3), (2,))(torch.rand(2, 3), torch.rand(2, 3), label)
    assert not loss.requires_grad


@checks("ContrastiveLoss", "errors")
def test_contrastive_loss_refuses_misfits():
    with pytest.raises(LayerError, match="3 and 4 channels"):
        make_layer('type: "ContrastiveLoss"', (2, 3), (2, 4), (2,))
    with pytest.raises(LayerError, match="height and width 1"):
        make_layer('type: "ContrastiveLoss"', (2, 3, 2), (2, 3, 2), (2,))
    with pytest.raises(LayerError, match="one label for each pair"):
        make_layer('type: "ContrastiveLoss"', (2, 3), (2, 3), (2, 2))
    with pytest.raises(LayerError, match="2 pairs but 1 labels"):
        make_layer('type: "ContrastiveLoss"', (2, 3), (2, 3), (1,))
