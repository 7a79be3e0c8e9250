"""LSTM and RNN as loops over time step, stream and unit."""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def lstm(blobs, x, cont, static, h, c):
    """The output T x N x D and the last states N x D."""
    w_x, b, *w_static, w_h = blobs
    steps, streams, units = x.shape[0], x.shape[1], w_h.shape[1]
    y, h, c = np.zeros((steps, streams, units)), h.copy(), c.copy()
    for t in range(steps):
        for n in range(streams):
            gates = w_x @ x[t, n].ravel() + b + w_h @ (cont[t, n] * h[n])
            if static is not None:
                gates += w_static[0] @ static[n].ravel()
            for d in range(units):
                i, f, o, g = gates[d], gates[units + d], gates[2 * units + d], gates[3 * units + d]
                c[n, d] = cont[t, n] * sigmoid(f) * c[n, d] + sigmoid(i) * np.tanh(g)
                h[n, d] = sigmoid(o) * np.tanh(c[n, d])
            y[t, n] = h[n]
    return y, [h, c]


def rnn(blobs, x, cont, static, h):
    """The output T x N x D and the last state N x D."""
    w_xh, b_h, *w_static, w_hh, w_ho, b_o = blobs
    steps, streams = x.shape[:2]
    y, h = np.zeros((steps, streams, len(b_o))), h.copy()
    for t in range(steps):
        for n in range(streams):
            total = w_xh @ x[t, n].ravel() + b_h + w_hh @ (cont[t, n] * h[n])
            if static is not None:
                total += w_static[0] @ static[n].ravel()
            h[n] = np.tanh(total)
            y[t, n] = np.tanh(w_ho @ h[n] + b_o)
    return y, [h]
