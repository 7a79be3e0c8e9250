import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, make_layer, rng, run


def literal(x, t, axis, top_k, ignore):
    """Accuracy and per-class accuracy by loops over outer, inner and class."""
    classes = x.shape[axis]
    outer, inner = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))
    x, t = x.reshape(outer, classes, inner), t.reshape(outer, inner)
    right, count = np.zeros(classes), np.zeros(classes)
    for i in range(outer):
        for j in range(inner):
            label = int(t[i, j])
            if label == ignore:
                continue
            others = sum(x[i, k, j] >= x[i, label, j] for k in range(classes)) - 1
            right[label] += others < top_k
            count[label] += 1
    per_class = [r / c if c else 0 for r, c in zip(right, count)]
    return right.sum() / count.sum() if count.sum() else 0, per_class


@checks("Accuracy", "numeric")
@pytest.mark.parametrize(
    ("shape", "axis", "top_k", "ignore"),
    [((8, 5), 1, 1, None), ((8, 5), 1, 3, 2), ((2, 4, 3, 3), 1, 2, 0), ((3, 2, 4), -1, 1, None), ((5, 3), 0, 2, 1)],
)
def test_accuracy_is_the_literal_loop(shape, axis, top_k, ignore):
    x = np.round(rng().standard_normal(shape), 0 if top_k == 1 else 6)  # rounded: many ties
    at = axis % len(shape)
    t = rng(1).integers(0, shape[at], np.delete(shape, at)).astype(float)
    field = f"ignore_label: {ignore}" if ignore is not None else ""
    text = f'type: "Accuracy" top: "a" top: "c" accuracy_param {{ axis: {axis} top_k: {top_k} {field} }}'
    accuracy, per_class = run(make_layer(text, x.shape, t.shape), x, t)
    expected = literal(x, t, at, top_k, ignore)
    np.testing.assert_allclose(accuracy, expected[0], rtol=1e-12)
    np.testing.assert_allclose(per_class, expected[1], rtol=1e-12)


@checks("Accuracy", "numeric")
def test_accuracy_of_nothing_and_of_a_tie_is_zero():
    layer = make_layer('type: "Accuracy" accuracy_param { ignore_label: 1 }', (2, 3), (2,))
    assert run(layer, np.eye(3)[:2], [1.0, 1.0])[0] == 0
    assert run(make_layer('type: "Accuracy"', (1, 3), (1,)), [[0.5, 0.5, 0.1]], [0.0])[0] == 0


@checks("Accuracy", "gradient")
def test_accuracy_has_no_gradient():
    layer = make_layer('type: "Accuracy" top: "a" top: "c"', (2, 3), (2,))
    tops = layer(torch.rand(2, 3, requires_grad=True), torch.zeros(2))
    assert not any(top.requires_grad for top in tops)


@checks("Accuracy", "errors")
def test_accuracy_refuses_misfits():
    with pytest.raises(LayerError, match="number of labels must match"):
        make_layer('type: "Accuracy"', (2, 3, 2), (2,))
    with pytest.raises(LayerError, match="top_k 4 must be less"):
        make_layer('type: "Accuracy" accuracy_param { top_k: 4 }', (2, 3), (2,))
    with pytest.raises(LayerError, match="axis 2 out of range"):
        make_layer('type: "Accuracy" accuracy_param { axis: 2 }', (2, 3), (2,))
    with pytest.raises(LayerError, match="label 3 is not a class"):
        run(make_layer('type: "Accuracy"', (2, 3), (2,)), np.eye(3)[:2], [0.0, 3.0])
