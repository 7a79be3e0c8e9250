"""Literal loops over windows, in numpy, to compare the vision layers with."""

from itertools import product

import numpy as np


def window_sizes(spatial, kernel, stride, pad, dilation):
    """How many windows along each axis: C's division, which truncates towards zero."""
    gaps = [n + 2 * p - (d * (k - 1) + 1) for n, k, p, d in zip(spatial, kernel, pad, dilation)]
    return [int(np.trunc(g / s)) + 1 for g, s in zip(gaps, stride)]


def taps(position, kernel, stride, pad, dilation, spatial):
    """(kernel index, input index) of each element of the window at ``position`` that lies inside the input."""
    for index in product(*map(range, kernel)):
        at = tuple(o * s - p + i * d for o, s, p, i, d in zip(position, stride, pad, index, dilation))
        if all(0 <= a < n for a, n in zip(at, spatial)):
            yield index, at


def convolve(x, weight, bias, stride, pad, dilation, group):
    """x (N, C, spatial...), weight (O, C / group, kernel...)."""
    kernel, spatial = weight.shape[2:], x.shape[2:]
    sizes = window_sizes(spatial, kernel, stride, pad, dilation)
    y = np.zeros((len(x), len(weight), *sizes))
    per_group = len(weight) // group
    for n, o in product(range(len(x)), range(len(weight))):
        first = o // per_group * weight.shape[1]
        for position in product(*map(range, sizes)):
            total = 0.0 if bias is None else bias[o]
            for index, at in taps(position, kernel, stride, pad, dilation, spatial):
                for c in range(weight.shape[1]):
                    total += weight[(o, c, *index)] * x[(n, first + c, *at)]
            y[(n, o, *position)] = total
    return y


def deconvolve(x, weight, bias, stride, pad, dilation, group):
    """x (N, C, spatial...), weight (C, O / group, kernel...): every input element is spread over the output."""
    kernel, spatial = weight.shape[2:], x.shape[2:]
    sizes = [s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation)]
    y = np.zeros((len(x), weight.shape[1] * group, *sizes))
    per_group = x.shape[1] // group
    for n, c in product(range(len(x)), range(x.shape[1])):
        first = c // per_group * weight.shape[1]
        for position in product(*map(range, spatial)):
            for index, at in taps(position, kernel, stride, pad, dilation, sizes):
                for o in range(weight.shape[1]):
                    y[(n, first + o, *at)] += weight[(c, o, *index)] * x[(n, c, *position)]
    return y if bias is None else y + bias.reshape(-1, *[1] * len(sizes))


def unfold(x, kernel, stride, pad, dilation):
    """x (N, C, spatial...) to columns (N, C * prod(kernel), positions...)."""
    spatial = x.shape[2:]
    sizes = window_sizes(spatial, kernel, stride, pad, dilation)
    y = np.zeros((*x.shape[:2], *kernel, *sizes))
    for n, c in product(range(len(x)), range(x.shape[1])):
        for position in product(*map(range, sizes)):
            for index, at in taps(position, kernel, stride, pad, dilation, spatial):
                y[(n, c, *index, *position)] = x[(n, c, *at)]
    return y.reshape(len(x), -1, *sizes)


def pooling_sizes(spatial, kernel, stride, pad, ceil=True):
    sizes = []
    for n, k, s, p in zip(spatial, kernel, stride, pad):
        exact = (n + 2 * p - k) / s
        sizes.append(int(np.ceil(exact) if ceil else np.floor(exact)) + 1)
    if any(pad):
        sizes = [o - 1 if (o - 1) * s >= n + p else o for o, s, n, p in zip(sizes, stride, spatial, pad)]
    return sizes


def pooling_windows(shape, kernel, stride, pad, ceil=True):
    """(output index, [input indices in order], area of the window cut to the padded input), plane by plane."""
    height, width = shape[2:]
    rows, columns = pooling_sizes(shape[2:], kernel, stride, pad, ceil)
    for n, c, i, j in product(range(shape[0]), range(shape[1]), range(rows), range(columns)):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        bottom, right = min(top + kernel[0], height + pad[0]), min(left + kernel[1], width + pad[1])
        area = (bottom - top) * (right - left)
        inside = product(range(max(top, 0), min(bottom, height)), range(max(left, 0), min(right, width)))
        yield (n, c, i, j), [(n, c, h, w) for h, w in inside], area


def max_pool(x, kernel, stride, pad, ceil=True):
    """(maxima, indices within the plane, gradient for top diffs of one)."""
    size = pooling_sizes(x.shape[2:], kernel, stride, pad, ceil)
    y = np.full((*x.shape[:2], *size), -float(np.finfo(np.float32).max))
    mask, counts = np.full(y.shape, -1.0), np.zeros(x.shape)
    for out, inside, _ in pooling_windows(x.shape, kernel, stride, pad, ceil):
        best = None
        for at in inside:
            if x[at] > y[out]:
                y[out], best = x[at], at
        if best is not None:
            mask[out] = best[2] * x.shape[3] + best[3]
            counts[best] += 1
    return y, mask, counts


def average_pool(x, kernel, stride, pad, ceil=True):
    y = np.zeros((*x.shape[:2], *pooling_sizes(x.shape[2:], kernel, stride, pad, ceil)))
    for out, inside, area in pooling_windows(x.shape, kernel, stride, pad, ceil):
        with np.errstate(invalid="ignore"):
            y[out] = np.float64(sum(x[at] for at in inside)) / area
    return y
