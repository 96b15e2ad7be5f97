"""The best vectorised NumPy forms of what ``dnncore bench`` times, under the names dnncore and PyTorch share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Loss = Callable[[Array, Array], tuple[Any, Array]]  # the mean loss, and the gradient of the first argument


def relu(x: Array, out: Array | None = None) -> Array:
    return np.maximum(x, 0, out=out)


def tanh(x: Array, out: Array | None = None) -> Array:
    return np.tanh(x, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + e^-x) as (1 + tanh(x / 2)) / 2: no overflow, and NumPy's tanh is vectorised."""
    out = np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5
    return out


def silu(x: Array, out: Array | None = None) -> Array:
    out = sigmoid(x, out)
    out *= x
    return out


# Gradients of activations from the gradient and the value of their result.
GRADIENTS: dict[str, Callable[[Array, Array], Array]] = {
    "relu": lambda dy, y: dy * (y > 0),
    "tanh": lambda dy, y: dy * (1 - y * y),
    "sigmoid": lambda dy, y: dy * (y * (1 - y)),
}


def log_softmax(x: Array, axis: int = 1) -> Array:
    shifted: Array = x - x.max(axis, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis, keepdims=True))
    return shifted


def softmax(x: Array, axis: int = 1) -> Array:
    e: Array = x - x.max(axis, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis, keepdims=True)
    return e


def cross_entropy(x: Array, target: Array) -> tuple[Any, Array]:
    """Return the mean loss and the gradient of `x`, as the other losses do."""
    rows = np.arange(len(target))
    gradient = x - x.max(1, keepdims=True)
    picked = gradient[rows, target]
    np.exp(gradient, out=gradient)
    total = gradient.sum(1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - picked)
    gradient /= total
    gradient[rows, target] -= 1
    gradient /= len(target)
    return loss, gradient


def mse_loss(x: Array, target: Array) -> tuple[Any, Array]:
    difference = x - target
    loss = np.vdot(difference, difference) / x.size
    difference *= x.dtype.type(2 / x.size)
    return loss, difference


def binary_cross_entropy_with_logits(x: Array, target: Array) -> tuple[Any, Array]:
    e = np.exp(-np.abs(x))
    loss = (np.maximum(x, 0) - x * target + np.log1p(e)).mean()
    return loss, (np.where(x < 0, e, 1) / (1 + e) - target) / x.size


class SGD:
    """In place, as ``torch.optim.SGD``."""

    def __init__(self, parameters: list[Array], lr: float, momentum: float = 0) -> None:
        self.parameters, self.lr, self.momentum = parameters, lr, momentum
        self.state = [(np.zeros_like(p), np.empty_like(p)) for p in parameters]

    def step(self, gradients: list[Array]) -> None:
        for parameter, gradient, (average, work) in zip(self.parameters, gradients, self.state, strict=True):
            if self.momentum:
                average *= self.momentum
                average += gradient
            np.multiply(average if self.momentum else gradient, self.lr, out=work)
            parameter -= work


class Adam:
    """In place, as ``torch.optim.Adam`` with its default settings."""

    def __init__(self, parameters: list[Array], lr: float) -> None:
        self.parameters, self.lr, self.count = parameters, lr, 0
        self.state = [(np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in parameters]

    def step(self, gradients: list[Array]) -> None:
        self.count += 1
        size, root = self.lr / (1 - 0.9**self.count), float(np.sqrt(1 - 0.999**self.count))
        for parameter, gradient, (mean, square, work) in zip(self.parameters, gradients, self.state, strict=True):
            np.subtract(gradient, mean, out=work)
            work *= 0.1
            mean += work
            np.multiply(gradient, gradient, out=work)
            work -= square
            work *= 0.001
            square += work
            np.sqrt(square, out=work)
            work /= root
            work += 1e-8
            np.divide(mean, work, out=work)
            work *= size
            parameter -= work


class Perceptron:
    """A ReLU network with every gradient by hand; `loss` is one of those above, `optimizer` makes one of its parameters."""

    def __init__(self, weights: list[Array], biases: list[Array], loss: Loss, optimizer: Callable[..., SGD | Adam]) -> None:
        self.weights, self.biases, self.loss = weights, biases, loss
        self.optimizer = optimizer(weights + biases)

    def step(self, x: Array, target: Array) -> Any:
        """Train for one step and return the loss before it."""
        inputs = [x]
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = inputs[-1] @ weight.T
            y += bias
            inputs.append(relu(y, y) if i + 1 < len(self.weights) else y)
        loss, gradient = self.loss(inputs.pop(), target)
        weight_gradients, bias_gradients = [], []
        for i in reversed(range(len(self.weights))):
            weight_gradients.append(gradient.T @ inputs[i])
            bias_gradients.append(gradient.sum(0))
            if i > 0:
                gradient = gradient @ self.weights[i]
                gradient *= inputs[i] > 0
        self.optimizer.step(weight_gradients[::-1] + bias_gradients[::-1])
        return loss
