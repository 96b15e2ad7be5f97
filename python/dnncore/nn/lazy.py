"""Layers that learn their input's size at the first call."""

from __future__ import annotations

from typing import Any

from dnncore import _core
from dnncore._checks import checked_size
from dnncore._core import Tensor
from dnncore.nn.linear import Linear
from dnncore.nn.module import Module
from dnncore.nn.parameter import Parameter, UninitializedParameter, is_lazy


class LazyModuleMixin(Module):
    """The behaviour of a layer whose parameters take their shape at the first call; then it becomes `cls_to_become`.

    A subclass derives from this and from the layer, holds `UninitializedParameter` objects and defines `initialize_parameters`.
    Its `state_dict` names them, `load_state_dict` gives them the shapes of the loaded values; an optimizer and `dnncore.save`
    refuse them.

    Examples
    --------
    >>> from dnncore import nn
    >>> nn.LazyLinear(3).has_uninitialized_params()
    True
    """

    cls_to_become: type[Module] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._first_call = self.register_forward_pre_hook(_infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialise the parameters for these inputs and draw their initial values; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method initialize_parameters()")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of the layer has no shape yet."""
        return any(is_lazy(value) for value in (*self._parameters.values(), *self._buffers.values()))


def _infer_parameters(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"{type(module).__name__}: initialize_parameters() left a parameter without a shape")
    module._first_call.remove()
    del module._first_call
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become


def materialize(layer: str, parameter: Parameter, shape: tuple[int, ...]) -> None:
    """Give a parameter that has no shape its memory."""
    if not isinstance(parameter, UninitializedParameter):
        raise RuntimeError(f"{layer}: weight and bias must be without a shape both or neither")
    parameter.materialize(shape)


class LazyLinear(LazyModuleMixin, Linear):
    r"""A `Linear` whose ``in_features`` is the size of the last dimension of its first input.

    Parameters
    ----------
    out_features : int
        Size of the last dimension of the output.
    bias : bool, default True
        Whether to add a bias.
    device : device, optional
        Where the parameters will be; only the CPU.
    dtype : dtype, optional
        Of the parameters; float32 when not given.

    Notes
    -----
    Make the optimizer after the first call.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import nn
    >>> model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    >>> model(dnn.zeros(4, 5)).shape
    (4, 3)
    >>> model[0]
    Linear(in_features=5, out_features=8, bias=True)
    """

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: _core.dtype | None = None) -> None:
        size = checked_size("LazyLinear", "out_features", out_features)
        super().__init__(0, 0, False, device, dtype)  # no memory yet: the shapes below take its place
        self.out_features = size
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values; nothing to do before the first call."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any) -> None:
        """Take the size of the last dimension of `input`."""
        if not self.has_uninitialized_params():
            self.in_features = self.weight.shape[1]  # the values were loaded
            return
        if input.ndim == 0:
            raise ValueError("LazyLinear: expected an input of at least 1 dimension, got a 0-d tensor")
        self.in_features = input.shape[-1]
        materialize("LazyLinear", self.weight, (self.out_features, self.in_features))
        if self.bias is not None:
            materialize("LazyLinear", self.bias, (self.out_features,))
        self.reset_parameters()
