"""The switch for the faster, less exact algorithm of 3x3 convolutions."""

from __future__ import annotations

from types import TracebackType

from dnncore import _core


class allow_winograd:  # noqa: N801 - a switch, as the ones of gradients
    """Let 3x3 convolutions of stride 1 use Winograd's algorithm; as a context manager, until the block ends.

    It computes float32 convolutions without groups or dilation, and their gradients with respect to the input, with a
    quarter of the products, where there are at least 16 channels on both sides. The error of an entry stays below 2e-5
    times the largest entry of the result: some ten times that of the definition, which serves everywhere else. Off at
    first; the switch belongs to the calling thread. A captured step is recorded anew when it changes.

    Parameters
    ----------
    mode : bool, default True
        Whether it may be used.

    References
    ----------
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, https://arxiv.org/abs/1509.09308.

    Examples
    --------
    >>> import dnncore as dnn
    >>> x, weight = dnn.ones(1, 16, 8, 8), dnn.ones(16, 16, 3, 3)
    >>> with dnn.allow_winograd():
    ...     y = dnn.nn.functional.conv2d(x, weight)
    >>> bool((y - 144).abs().max() < 144 * 2e-5)
    True
    """

    def __init__(self, mode: bool = True) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"allow_winograd: expected mode to be a bool, got {mode!r}")
        self._before = _core._allow_winograd(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _core._allow_winograd(self._before)
