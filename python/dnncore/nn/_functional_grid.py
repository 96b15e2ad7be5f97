"""Sampling of images at given places; `dnncore.nn.functional` offers it."""

from __future__ import annotations

from collections.abc import Sequence

from dnncore import _core
from dnncore._checks import check_tensors
from dnncore._core import Tensor

__all__ = ["affine_grid", "grid_sample"]


def _coordinates(size: int, like: Tensor, align_corners: bool) -> Tensor:
    """Return the places of `size` elements from -1 to 1."""
    if size == 1:
        return _core.zeros(1, dtype=like.dtype, device=like.device)
    ends = 1.0 if align_corners else (size - 1) / size
    return _core.linspace(-ends, ends, size, dtype=like.dtype, device=like.device)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the places that an affine map sends the elements of an image to, for `grid_sample`.

    Parameters
    ----------
    theta : Tensor of shape (N, 2, 3) or (N, 3, 4)
        The maps: a matrix of the coordinates x, y(, z), and what is added.
    size : sequence of int
        Of the image to be made: (N, C, H, W) or (N, C, D, H, W).
    align_corners : bool, default False
        Whether -1 and 1 are the centres of the outermost elements, instead of their edges.

    Returns
    -------
    Tensor of shape (N, H, W, 2) or (N, D, H, W, 3)

    Raises
    ------
    ValueError
        If shape and size do not fit, or a size is not positive.
    TypeError
        If theta is not floating.

    References
    ----------
    M. Jaderberg et al.: Spatial Transformer Networks, NIPS 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> F.affine_grid(dnn.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]]]), (1, 1, 1, 2)).tolist()
    [[[[-0.5, 0.5], [0.5, 0.5]]]]
    """
    check_tensors("affine_grid", theta=theta)
    sizes = tuple(size)
    spatial = len(sizes) - 2
    if not theta.is_floating_point():
        raise TypeError(f"affine_grid: expected a floating theta, got {theta.dtype}")
    if spatial not in (2, 3) or tuple(theta.shape) != (sizes[0], spatial, spatial + 1):
        raise ValueError(
            f"affine_grid: expected theta (N, 2, 3) with size (N, C, H, W), or (N, 3, 4) with (N, C, D, H, W), "
            f"got shape {tuple(theta.shape)} and size {sizes}"
        )
    if min(sizes[1:]) < 1:
        raise ValueError(f"affine_grid: expected positive sizes, got {sizes}")
    inner = sizes[2:]
    lines = [_coordinates(n, theta, bool(align_corners)) for n in inner]
    base = _core.stack(
        [*reversed(_core.meshgrid(*lines, indexing="ij")), _core.ones(inner, dtype=theta.dtype, device=theta.device)], -1
    )
    return (base.reshape(1, -1, spatial + 1) @ theta.transpose(1, 2)).reshape(sizes[0], *inner, spatial)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Sample every channel of images at the places of a grid.

    Parameters
    ----------
    input : Tensor of shape (N, C, H, W) or (N, C, D, H, W)
    grid : Tensor of shape (N, H', W', 2) or (N, D', H', W', 3), of the dtype of the input
        Places (x, y) or (x, y, z); -1 and 1 are the ends of width, height and depth. What is no number samples zeros.
    mode : {"bilinear", "nearest", "bicubic"}, default "bilinear"
        Weighted means of the 4 or 8 elements around; the nearest one; of 16, in two dimensions.
    padding_mode : {"zeros", "border", "reflection"}, default "zeros"
        What lies beyond the ends.
    align_corners : bool, default False
        Whether -1 and 1 are the centres of the outermost elements, instead of their edges.

    Returns
    -------
    Tensor of shape (N, C, H', W') or (N, C, D', H', W'), channels-last in memory

    Raises
    ------
    ValueError
        If shapes, mode and padding do not fit.
    TypeError
        If the input is not floating, or the grid of another dtype.
    RuntimeError
        For third derivatives.

    References
    ----------
    M. Jaderberg et al.: Spatial Transformer Networks, NIPS 2015. R. Keys 1981 with a = -0.75 for "bicubic".

    Examples
    --------
    >>> import dnncore as dnn
    >>> import dnncore.nn.functional as F
    >>> x = dnn.tensor([[[[0.0, 1.0, 2.0]]]])
    >>> F.grid_sample(x, dnn.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]), align_corners=True).tolist()
    [[[[1.0, 2.0]]]]
    """
    check_tensors("grid_sample", input=input, grid=grid)
    return _core._grid_sample(input, grid, mode, padding_mode, bool(align_corners))
