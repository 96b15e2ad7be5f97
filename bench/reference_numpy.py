"""The best vectorised NumPy form of every kernel family: the peer a NumPy user would write, in place where that pays.

Elementwise functions take `out` and return it. `FORMS` names one for every kernel of the library.
"""

import math
from functools import reduce

import numpy as np
from dnncore.cli._bench_numpy import cross_entropy, log_softmax, mse_loss, relu, sigmoid, silu, softmax, tanh
from dnncore.cli._bench_numpy_images import (
    avg_pool2d,
    batch_norm,
    conv2d,
    conv2d_backward_data,
    conv2d_backward_weights,
    max_pool2d,
)
from dnncore.cli._bench_numpy_recurrent import lstm, lstm_with_gradients


def _into(x, out):
    return np.empty_like(x) if out is None else out


def add(x, z, out=None):
    return np.add(x, z, out=out)


def mul(x, z, out=None):
    return np.multiply(x, z, out=out)


def exp(x, out=None):
    return np.exp(x, out=out)


def log1p(x, out=None):
    return np.log1p(x, out=out)


def softplus(x, out=None):
    """max(x, 0) + log1p(e^-|x|)."""
    out = np.abs(x, out=_into(x, out))
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(x, 0)
    return out


# NumPy has no erf. Abramowitz and Stegun 7.1.26: erf(x) = 1 - (a1 t + ... + a5 t^5) e^(-x^2),
# t = 1 / (1 + p x), |error| < 1.5e-7.
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_P = 0.3275911


def erf(x, out=None):
    if x.dtype == np.float64:  # the yardstick: exact, one value at a time
        return np.frompyfunc(math.erf, 1, 1)(x).astype(np.float64)
    t = np.abs(x)
    decay = np.multiply(x, x)
    np.negative(decay, out=decay)
    np.exp(decay, out=decay)
    t *= _ERF_P
    t += 1
    np.reciprocal(t, out=t)
    out = np.multiply(t, _ERF[4], out=_into(x, out))
    for coefficient in _ERF[3::-1]:
        out += coefficient
        out *= t
    out *= decay
    np.subtract(1, out, out=out)
    return np.copysign(out, x, out=out)


def gelu(x, out=None):
    """x (1 + erf(x / sqrt 2)) / 2."""
    result = erf(np.multiply(x, x.dtype.type(math.sqrt(0.5))))
    result += 1
    result *= x
    return np.multiply(result, 0.5, out=out)


def leaky_relu(x, slope=0.01, out=None):
    """max(x, slope x), for slopes up to 1."""
    out = np.multiply(x, x.dtype.type(slope), out=_into(x, out))
    return np.maximum(x, out, out=out)


def elu(x, out=None):
    """max(x, 0) + expm1(min(x, 0))."""
    out = np.minimum(x, 0, out=_into(x, out))
    np.expm1(out, out=out)
    out += np.maximum(x, 0)
    return out


def gelu_tanh(x, out=None):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    out = np.multiply(x, x, out=_into(x, out))
    out *= x.dtype.type(0.044715)
    out += 1
    out *= x
    out *= x.dtype.type(math.sqrt(2 / math.pi))
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5
    return out


def dropout(x, p, random, out=None):
    """x where 16 random bits are at least p 2^16, divided by 1 - p: a quarter of the cost of uniform numbers."""
    keep = random.integers(0, 1 << 16, x.shape, np.uint16) >= round(p * (1 << 16))
    out = np.multiply(x, x.dtype.type(1 / (1 - p)), out=_into(x, out))
    out *= keep
    return out


def masked(dy, mask, scale, out=None):
    """The gradient of dropout."""
    out = np.multiply(dy, mask, out=_into(dy, out))
    out *= dy.dtype.type(scale)
    return out


def where(condition, x, z):
    return np.where(condition, x, z)


def sum(x):
    return np.sum(x)


def max(x):
    return np.max(x)


def argmax(x, axis):
    return np.argmax(x, axis=axis)


def copy_transposed(x):
    return np.ascontiguousarray(x.T)


def fill(shape, value):
    return np.full(shape, value, dtype=np.float32)


def matmul(a, b, out=None):
    return np.matmul(a, b, out=out)


def linear(x, weight, bias, out=None):
    """x W^T + b, the bias added in place."""
    out = np.matmul(x, weight.T, out=out)
    out += bias
    return out


def gather(x, index):
    return np.take(x, index, axis=0)


def scatter_add(x, index, values):
    """x[index] += values with duplicates summed: sorted runs, since np.add.at goes one element at a time."""
    order = np.argsort(index, kind="stable")
    rows, starts = np.unique(index[order], return_index=True)
    x[rows] += np.add.reduceat(values[order], starts, axis=0)
    return x


def scatter_dim(x, dim, index, values):
    """x[index[i, j], j] += values[i, j] for dim 0: one count per column block, since np.add.at goes one element at a time."""
    assert dim == 0
    columns = x.shape[1]
    places = (index * columns + np.arange(columns)).ravel()
    return x + np.bincount(places, values.ravel(), x.size).reshape(x.shape).astype(x.dtype)


def sort(x):
    """Values and indices along the last dimension, equal entries in order."""
    order = np.argsort(x, -1, kind="stable")
    return np.take_along_axis(x, order, -1), order


def topk(x, k):
    """The k largest along the last dimension, in order."""
    some = np.argpartition(x, x.shape[-1] - k, -1)[..., -k:]
    values = np.take_along_axis(x, some, -1)
    order = np.argsort(-values, -1)
    return np.take_along_axis(values, order, -1), np.take_along_axis(some, order, -1)


def nonzero(mask):
    return np.flatnonzero(mask)


def cross_entropy_smoothed(x, target, smoothing=0.1):
    logs = log_softmax(x)
    rows = np.arange(len(x))
    loss = -((1 - smoothing) * logs[rows, target] + smoothing * logs.mean(axis=1)).mean()
    gradient = np.exp(logs) - smoothing / x.shape[1]
    gradient[rows, target] -= 1 - smoothing
    return loss, gradient / len(x)


def softmax_backward(gradient, y):
    """Gradient of softmax from its result."""
    return y * (gradient - (gradient * y).sum(axis=1, keepdims=True))


def sgd(parameter, gradient, momentum_buffer, lr, momentum, scratch=None):
    """In place, as torch.optim.SGD after its first step."""
    momentum_buffer *= momentum
    momentum_buffer += gradient
    scratch = np.multiply(momentum_buffer, lr, out=scratch)
    parameter -= scratch
    return parameter


def adam(parameter, gradient, average, square, step, lr, betas=(0.9, 0.999), eps=1e-8, scratch=None):
    """In place, as torch.optim.Adam at `step`, which counts from 1; bias corrections folded into two numbers."""
    average *= betas[0]
    average += np.multiply(gradient, 1 - betas[0], out=scratch)
    scratch = np.multiply(gradient, gradient, out=scratch)
    scratch *= 1 - betas[1]
    square *= betas[1]
    square += scratch
    root = math.sqrt(1 - betas[1] ** step)
    np.sqrt(square, out=scratch)
    scratch += eps * root
    np.divide(average, scratch, out=scratch)
    scratch *= lr * root / (1 - betas[0] ** step)
    parameter -= scratch
    return parameter


def uniform(shape, seed):
    return np.random.Generator(np.random.SFC64(seed)).random(shape, dtype=np.float32)


MAPS = {"relu": relu, "exp": exp, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus, "erf": erf, "gelu": gelu}


def linear_weights(size, result):
    """The matrix (result, size) of linear interpolation, ``align_corners=False``."""
    at = np.clip((np.arange(result) + 0.5) * size / result - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))).astype(np.float32)


def resample(x, down, across):
    """Images (N, C, H, W) by a matrix per dimension; the gradient is this with the transposed ones."""
    return down @ x @ across.T


def _neighbours(x, size):
    """Sums over `size` channels around each, (N, C, H, W)."""
    padded = np.pad(x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0), (0, 0)))
    return reduce(np.add, (padded[:, i : i + x.shape[1]] for i in range(size)))


def local_response_norm(x, size, alpha, beta, k):
    return x * (k + x.dtype.type(alpha / size) * _neighbours(x * x, size)) ** x.dtype.type(-beta)


def local_response_backward(dy, x, size, alpha, beta, k):
    """Its gradient, for odd sizes."""
    scale = k + x.dtype.type(alpha / size) * _neighbours(x * x, size)
    power = scale ** x.dtype.type(-beta)
    return dy * power - x.dtype.type(2 * alpha * beta / size) * x * _neighbours(dy * x * power / scale, size)


def sample_taps(shape, grid):
    """Of bilinear samples inside images (N, C, H, W): four of (rows of pixels, weights, their derivatives by the place)."""
    n, _, h, w = shape
    at = ((grid.astype(np.float64) + 1) * (w, h) - 1) / 2
    first = np.floor(at)
    right, down = np.moveaxis((at - first).astype(grid.dtype).reshape(-1, 2), -1, 0)
    column, row = np.moveaxis(first.astype(int), -1, 0).reshape(2, -1)
    image = np.repeat(np.arange(n), grid[0].size // 2) * h
    taps = []
    for i, j in np.ndindex(2, 2):
        across, along = np.abs(1 - j - right), np.abs(1 - i - down)
        slopes = np.stack([(2 * j - 1) * along * (w / 2), (2 * i - 1) * across * (h / 2)], -1).astype(grid.dtype)
        taps.append(((image + row + i) * w + column + j, (across * along)[:, None], slopes))
    return taps


def _pixels(x):
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def _images(pixels, n, h):
    return pixels.reshape(n, h, -1, pixels.shape[1]).transpose(0, 3, 1, 2)


def grid_sample(x, grid, taps):
    pixels = _pixels(x)
    return _images(reduce(np.add, (pixels[at] * weight for at, weight, _ in taps)), *grid.shape[:2])


def grid_sample_backward_input(dy, shape, taps):
    gradient, dx = _pixels(dy), np.zeros((shape[0] * shape[2] * shape[3], shape[1]), dy.dtype)
    for at, weight, _ in taps:
        np.add.at(dx, at, gradient * weight)
    return _images(dx, shape[0], shape[2])


def grid_sample_backward_grid(dy, x, grid, taps):
    pixels, gradient = _pixels(x), _pixels(dy)
    shares = ((pixels[at] * gradient).sum(1, keepdims=True) * slopes for at, _, slopes in taps)
    return reduce(np.add, shares).reshape(grid.shape)


def embedding_bag(weight, ids):
    return weight[ids].sum(1)


def embedding_backward(dy, ids, per_bag, rows):
    """The gradient of the table, the rows of each id summed after a stable sort."""
    order = np.argsort(ids, kind="stable")
    first = np.flatnonzero(np.diff(ids[order], prepend=-1))
    dweight = np.zeros((rows, dy.shape[1]), dy.dtype)
    if ids.size:
        dweight[ids[order[first]]] = np.add.reduceat(dy[order // per_bag], first)
    return dweight


def embedding_backward_factors(weight, ids, dy):
    return np.einsum("bic,bc->bi", weight[ids], dy)


FORMS = {
    "gemm": matmul,
    "gemm_pack": copy_transposed,
    "conv_forward": conv2d,
    "conv_backward_data": conv2d_backward_data,
    "conv_backward_weight": conv2d_backward_weights,
    "max_pool": max_pool2d,
    "max_pool_backward": max_pool2d,
    "max_pool_indices": max_pool2d,
    "avg_pool": avg_pool2d,
    "avg_pool_backward": avg_pool2d,
    "norm": batch_norm,
    "norm_backward": batch_norm,
    "resample": resample,
    "resample_table": linear_weights,
    "local_response": local_response_norm,
    "local_response_backward": local_response_backward,
    "grid_sample": grid_sample,
    "grid_sample_backward_input": grid_sample_backward_input,
    "grid_sample_backward_grid": grid_sample_backward_grid,
    "unary": gelu,
    "binary": add,
    "where": where,
    "activation": silu,
    "dropout": dropout,
    "dropout_backward": masked,
    "copy": copy_transposed,
    "fill": fill,
    "range": np.arange,
    "reduce": sum,
    "index_offsets": np.ravel_multi_index,
    "gather": gather,
    "scatter": scatter_add,
    "nonzero": nonzero,
    "embedding": embedding_bag,
    "embedding_backward": embedding_backward,
    "embedding_backward_factors": embedding_backward_factors,
    "gather_dim": np.take_along_axis,
    "scatter_dim": scatter_dim,
    "sort": sort,
    "topk": topk,
    "cumulate": np.cumsum,
    "cross_entropy": cross_entropy,
    "optimizer": adam,
    "softmax": softmax,
    "softmax_backward": softmax_backward,
    "pointwise_loss": mse_loss,
    "pointwise_loss_backward": mse_loss,
    "recurrent_forward": lstm,
    "recurrent_backward": lstm_with_gradients,
    "random": uniform,
}
