"""Eq. 2 of Tajbakhsh et al. 2016, derived by hand in double precision and compared with the solver's weights.

    gamma^t = gamma^floor(t N / |X|)
    V_l^(t+1) = mu V_l^t - gamma^t alpha_l dL/dW_l
    W_l^(t+1) = W_l^t + V_l^(t+1)

for a net of three fully connected layers, tanh between them, and the cost of Eq. 1 over a mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import h5py
import numpy as np
import pytest
import torch

from caffe_port.proto.solverstate import read_solverstate
from caffe_port.solver import Solver
from caffe_port.solver.epochs import epoch_steps
from tests.solver.make import solver_param

SIZES = (6, 7, 5, 3)  #: inputs, two hidden layers, classes
SAMPLES, BATCH, EPOCHS = 50, 12, 5  #: |X| / N = 4 1/6: epochs of 5 and of 4 iterations
ITERATIONS = -(-EPOCHS * SAMPLES // BATCH)
BASE, MU, GAMMA = 0.1, 0.9, 0.7
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")),
]

Arrays = list[np.ndarray]

NET = """
name: "eq2"
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label" hdf5_data_param {{ source: "{0}" batch_size: {1} }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" {2} }}
layer {{ name: "tanh1" type: "TanH" bottom: "ip1" top: "ip1" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" {3} }}
layer {{ name: "tanh2" type: "TanH" bottom: "ip2" top: "ip2" }}
layer {{ name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" {4} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip3" bottom: "label" top: "loss" }}
"""
LEARNABLE = """param {{ lr_mult: {} decay_mult: 1 }} param {{ lr_mult: {} decay_mult: 0 }}
  inner_product_param {{ num_output: {} weight_filler {{ type: "xavier" }} bias_filler {{ type: "uniform" }} }}"""


def samples() -> tuple[np.ndarray, np.ndarray]:
    """|X| inputs and their classes."""
    random = np.random.default_rng(5)
    return random.normal(size=(SAMPLES, SIZES[0])).astype(np.float32), random.integers(0, SIZES[-1], SAMPLES)


def gradients(weights: Arrays, x: np.ndarray, y: np.ndarray) -> Arrays:
    """dL/dW and dL/db of every layer, by the chain rule, for L = -1/N sum of ln p(y)."""
    tops = [x]
    for weight, bias in zip(weights[::2], weights[1::2]):
        z = tops[-1] @ weight.T + bias
        tops.append(np.tanh(z))
    prob = np.exp(z - z.max(axis=1, keepdims=True))
    prob /= prob.sum(axis=1, keepdims=True)
    delta = (prob - np.eye(SIZES[-1])[y]) / len(x)  # dL/dz of the last layer
    grads: Arrays = []
    for weight, bottom in zip(weights[-2::-2], tops[-2::-1]):
        grads = [delta.T @ bottom, delta.sum(axis=0), *grads]
        delta = (delta @ weight) * (1 - bottom**2)
    return grads


def by_hand(weights: Arrays, alphas: tuple[float, ...]) -> Iterator[tuple[Arrays, Arrays]]:
    """W and V of Eq. 2 after each iteration; a bias learns twice as fast as its weights (Table II)."""
    x, y = samples()
    velocities = [np.zeros_like(weight) for weight in weights]
    for t in range(ITERATIONS):
        taken = np.arange(t * BATCH, (t + 1) * BATCH) % SAMPLES
        decay = GAMMA ** np.floor(t * BATCH / SAMPLES)
        for i, grad in enumerate(gradients(weights, x[taken].astype(np.float64), y[taken])):
            alpha = alphas[i // 2] * (1 + i % 2)
            velocities[i] = MU * velocities[i] - decay * alpha * grad
        weights = [weight + velocity for weight, velocity in zip(weights, velocities)]
        yield weights, velocities


def solver_of(folder, device: str, alphas: tuple[float, ...]) -> Solver:
    """The solver of the same training."""
    x, y = samples()
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"], file["label"] = x, y.astype(np.float32)
    (folder / "data.txt").write_text(f"{folder / 'data.h5'}\n")
    layers = [LEARNABLE.format(a / BASE, 2 * a / BASE, outputs) for a, outputs in zip(alphas, SIZES[1:])]
    settings = {"base_lr": BASE, "momentum": MU, "gamma": GAMMA, "lr_policy": "multistep", "max_iter": ITERATIONS}
    settings |= {"stepvalue": epoch_steps(SAMPLES, BATCH, EPOCHS), "snapshot_prefix": str(folder / "snap")}
    return Solver(solver_param(net=NET.format(folder / "data.txt", BATCH, *layers), **settings), device=device)


def weights_of(solver: Solver) -> Arrays:
    return [param.blob.detach().cpu().numpy().astype(np.float64) for param in solver.net.params]


def assert_close(ours: Arrays, expected: Arrays, what: str) -> None:
    """To a few single precision roundings, at every entry, of the largest."""
    for index, (a, b) in enumerate(zip(ours, expected, strict=True)):
        error, scale = np.abs(a - b).max(), np.abs(b).max()
        assert error <= 1e-5 * scale, f"{what}, blob {index}: off by {error:g}, largest value {scale:g}"


#: alpha of each layer: the pattern of Table II's deepest, middle and shallowest arm, of scratch, and a gap.
ALPHAS = [(0.1, 0.1, 1.0), (0.0, 0.1, 1.0), (0.0, 0.0, 1.0), (0.1, 0.1, 0.1), (0.3, 0.0, 0.2)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("alphas", ALPHAS, ids=str)
def test_weights_and_velocities_are_those_of_eq_2(tmp_path, device, alphas):
    solver = solver_of(tmp_path, device, alphas)
    assert {param.blob.device.type for param in solver.net.params} == {device}
    start = weights_of(solver)
    for weights, velocities in by_hand(start, alphas):
        solver.step(1)
        assert_close(weights_of(solver), weights, f"W after iteration {solver.iteration}")
        if solver.iteration % 7 == 0 or solver.iteration == ITERATIONS:
            state = read_solverstate(solver.snapshot()[1])
            # Caffe subtracts its history: it is -V.
            assert_close([-history for history in state.history], velocities, f"V after iteration {solver.iteration}")
    assert solver.iteration == ITERATIONS
    for index, (before, after) in enumerate(zip(start, weights_of(solver))):
        assert np.array_equal(before, after) == (alphas[index // 2] == 0), f"blob {index}"


def test_the_epochs_are_ragged():
    """What the comparison above stands on: epochs of unequal length, and a rate that falls within the training."""
    assert [t for t in range(1, ITERATIONS) if t * BATCH // SAMPLES != (t - 1) * BATCH // SAMPLES] == [5, 9, 13, 17]
    assert epoch_steps(SAMPLES, BATCH, EPOCHS) == [5, 9, 13, 17]


def test_the_gradients_by_hand_are_those_of_the_cost():
    """Against finite differences of Eq. 1."""
    random = np.random.default_rng(0)
    shapes = [shape for n, m in pairwise(SIZES) for shape in ((m, n), (m,))]
    weights = [random.normal(size=shape) for shape in shapes]
    x, y = samples()

    def cost() -> float:
        z = x.astype(np.float64)
        for index in range(0, len(weights), 2):
            z = (np.tanh(z) if index else z) @ weights[index].T + weights[index + 1]
        z = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-z[np.arange(SAMPLES), y].mean())

    for weight, grad in zip(weights, gradients(weights, x.astype(np.float64), y), strict=True):
        for where in np.ndindex(weight.shape):
            kept = weight[where]
            weight[where] = kept + 1e-5
            above = cost()
            weight[where] = kept - 1e-5
            below = cost()
            weight[where] = kept
            assert (above - below) / 2e-5 == pytest.approx(grad[where], rel=1e-6, abs=1e-8)
