import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("BatchReindex", "numeric")
@pytest.mark.parametrize("index", [[2.0, 0, 2, 4], [1.0], []])
def test_batch_reindex_is_the_literal_loop(index):
    x = rng().standard_normal((5, 2, 3))
    (y,) = run(make_layer('type: "BatchReindex"', x.shape, (len(index),)), x, np.array(index))
    assert y.shape == (len(index), 2, 3)
    for n, i in enumerate(index):
        np.testing.assert_array_equal(y[n], x[int(i)])


@checks("BatchReindex", "gradient")
def test_gradients_of_repeated_items_add_up():
    gradcheck(make_layer('type: "BatchReindex"', (3, 2), (4,)), rng().standard_normal((3, 2)), [2, 0, 2, 2])


@checks("BatchReindex", "errors")
@pytest.mark.parametrize("wrong", [-1.0, 3.0, np.nan])
def test_an_index_out_of_range_is_refused(wrong):
    with pytest.raises(LayerError, match="out of range for a batch of 3 items"):
        run(make_layer('type: "BatchReindex"', (3, 2), (2,)), np.zeros((3, 2)), np.array([0, wrong]))


@checks("BatchReindex", "errors")
def test_batch_reindex_refuses_misfits():
    with pytest.raises(LayerError, match="indices with one axis"):
        make_layer('type: "BatchReindex"', (3, 2), (2, 1))
    with pytest.raises(LayerError, match="cannot backpropagate to the index"):
        make_layer('type: "BatchReindex"', (3, 2), (2,))(torch.rand(3, 2), torch.zeros(2, requires_grad=True))
