"""Second derivatives of the wider vocabulary: differences of the gradients that a recorded backward pass gives."""

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore.nn import functional
from test_gradients import ATOL, EPS, RTOL, values

autograd = pytest.importorskip("dnncore.autograd", reason="this version records no backward pass")

INDEX = tensor(np.array([[0, 2, 0], [1, 1, 2], [2, 0, 1]]))
ROWS = tensor(np.array([2, 0]))
FUNCTIONS = {
    "gather": lambda x: x.gather(0, INDEX) ** 2,
    "scatter": lambda x: x.scatter(0, INDEX, x * x) ** 2,
    "scatter_add": lambda x: x.scatter_add(1, INDEX, x * x) ** 2,
    "scatter_reduce prod": lambda x: x.scatter_reduce(0, INDEX, x, "prod"),
    "scatter_reduce amax": lambda x: x.scatter_reduce(0, INDEX, x * x, "amax") ** 2,
    "index_add": lambda x: x.index_add(0, ROWS, x[:2] ** 2) ** 2,
    "index_copy": lambda x: x.index_copy(0, ROWS, x[:2] ** 2) ** 2,
    "sort": lambda x: x.sort(1).values ** 3,
    "cumsum": lambda x: x.cumsum(0) ** 2,
    "cumprod": lambda x: x.cumprod(1),
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "diagonal": lambda x: x.diagonal() ** 3,
    "diag_embed": lambda x: dnn.diag_embed(x) ** 3,
    "unfold": lambda x: x.unfold(0, 2, 1) ** 3,
    "roll": lambda x: x.roll(1, 0) ** 3 * x,
    "tril": lambda x: x.tril() ** 3,
    "pad": lambda x: functional.pad(x, (1, 1)) ** 3,
    "replicate": lambda x: functional.pad(x, (1, 1), "replicate") ** 3,
    "norm": lambda x: x.norm(2, 1) * x.norm(3),
    "logaddexp": lambda x: dnn.logaddexp(x, x * x),
    "hypot": lambda x: dnn.hypot(x, x * x),
    "lerp": lambda x: x.lerp(x * x, x),
    "einsum": lambda x: dnn.einsum("ij,kj,kl->il", x, x, x),
    "cdist": lambda x: dnn.cdist(x, x[:1] * 2),
    "kron": lambda x: dnn.kron(x, x) ** 2,
}


def gradient(function, x, weight, create_graph):
    leaf = dnn.from_numpy(x.copy()).requires_grad_()
    found = autograd.grad((function(leaf) * weight).sum(), [leaf], create_graph=create_graph)
    return leaf, found[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives(name):
    function, x = FUNCTIONS[name], values((3, 3))
    weight = tensor(values(tuple(function(tensor(x)).shape), seed=7))
    second = values((3, 3), seed=8)
    leaf, first = gradient(function, x, weight, create_graph=True)
    (first * tensor(second)).sum().backward()
    numeric = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        sides = []
        for step in (EPS, -EPS):
            moved = x.copy()
            moved[i] += step
            sides.append(float(np.sum(numbers(gradient(function, moved, weight, create_graph=False)[1]) * second)))
        numeric[i] = (sides[0] - sides[1]) / (2 * EPS)
    np.testing.assert_allclose(numbers(leaf.grad), numeric, rtol=RTOL, atol=ATOL)
