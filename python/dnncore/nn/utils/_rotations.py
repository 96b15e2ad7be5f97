"""Maps from any matrix onto orthogonal ones, made of differentiable operations; every matrix may be a batch of them."""

from __future__ import annotations

import math

from dnncore import _core
from dnncore._core import Tensor

# A column sum of at most 1/2 leaves 0.5^16 / 16! = 7e-19 of the exponential to the terms that are dropped.
_TERMS = 16
_LARGEST = 0.5


def _eye_like(x: Tensor, rows: int, columns: int) -> Tensor:
    return _core.eye(rows, columns, dtype=x.dtype, device=x.device)


def skew(x: Tensor) -> Tensor:
    """Return the skew-symmetric (n, n) whose lower triangle begins with that of `x`, tall, (n, k)."""
    n, k = x.shape[-2:]
    lower = x.tril(-1)
    if n != k:
        lower = _core.cat([lower, lower.new_zeros(*x.shape[:-1], n - k)], -1)
    return lower - lower.mT


def matrix_exp(a: Tensor) -> Tensor:
    """Return the exponential of square matrices: the Taylor series of ``a / 2^s`` in blocks of four terms, squared s times.

    References
    ----------
    N. Higham: Functions of matrices, 2008, sections 4.2 and 10.3.
    """
    size = float(a.detach().abs().sum(-2).max().item()) if a.numel() else 0.0
    squarings = math.ceil(math.log2(size / _LARGEST)) if _LARGEST < size < math.inf else 0
    x = a * 0.5**squarings
    square = x @ x
    powers = [_eye_like(a, a.shape[-1], a.shape[-1]), x, square, square @ x]
    fourth = square @ square
    blocks = [
        sum((power / math.factorial(first + i) for i, power in enumerate(powers[1:], 1)), powers[0] / math.factorial(first))
        for first in range(0, _TERMS, 4)
    ]
    result = blocks.pop()
    while blocks:
        result = blocks.pop() + fourth @ result
    for _ in range(squarings):
        result = result @ result
    return result


def inverse(m: Tensor) -> Tensor:
    """Return the inverse of square matrices by halves; ``m + m.mT`` must be positive definite, so that no pivot is small."""
    n = m.shape[-1]
    if n <= 1:
        return 1 / m
    half = n // 2
    top, bottom = m.narrow(-2, 0, half), m.narrow(-2, half, n - half)
    corner = inverse(top.narrow(-1, 0, half))
    right = corner @ top.narrow(-1, half, n - half)
    left = bottom.narrow(-1, 0, half) @ corner
    rest = inverse(bottom.narrow(-1, half, n - half) - bottom.narrow(-1, 0, half) @ right)
    across = right @ rest
    upper = _core.cat([corner + across @ left, -across], -1)
    return _core.cat([upper, _core.cat([-(rest @ left), rest], -1)], -2)


def cayley(a: Tensor) -> Tensor:
    """Return ``(I + a/2) (I - a/2)^-1`` of skew-symmetric matrices."""
    one = _eye_like(a, a.shape[-1], a.shape[-1])
    return (one + a / 2) @ inverse(one - a / 2)


def householder(x: Tensor) -> Tensor:
    """Return the first k columns of ``H_1 ... H_k``, ``H_i = I - 2 v v^T / v^T v``: v is 1 on the diagonal and `x` (n, k) below.

    References
    ----------
    T. Joffrain, T. Low, E. Quintana-Orti, R. van de Geijn, F. Van Zee: Accumulating Householder transformations, revisited,
    ACM TOMS 32, 2006: the product is ``I - V T V^T`` with the inverse of T in closed form.
    """
    n, k = x.shape[-2:]
    one = _eye_like(x, n, k)
    v = x.tril(-1) + one
    products = v.mT @ v
    t = inverse(products.triu(1) + products.diagonal(0, -2, -1).diag_embed() / 2)
    return one - v @ (t @ v.narrow(-2, 0, k).mT)
