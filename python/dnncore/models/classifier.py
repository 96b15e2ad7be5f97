"""What the networks share: features, head, freezing, a new head."""

from __future__ import annotations

from typing import Any, TypeVar

from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor

M = TypeVar("M", bound=nn.Module)
C = TypeVar("C", bound="Classifier")


class Classifier(nn.Module):
    """A network for images in two parts: ``model(x)`` is ``model.head(model.features(x))``.

    Attributes
    ----------
    features : Module
        From images (N, C, H, W) to maps of features; what `freeze` freezes.
    head : Module
        From maps of features to logits (N, num_classes).

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.lenet5()
    >>> model.features(dnn.zeros(2, 1, 32, 32)).shape
    (2, 16, 5, 5)
    >>> sum(p.requires_grad for p in model.freeze().parameters()), len(list(model.parameters()))
    (6, 10)
    >>> model.replace_head(3)(dnn.zeros(2, 1, 32, 32)).shape
    (2, 3)
    """

    features: Any
    head: Any

    def forward(self, input: Tensor) -> Any:
        """Return the logits of images."""
        return self.head(self.features(input))

    def _part(self, **parts: Any) -> nn.Sequential:
        """Return modules of the network as a network of their own, in its mode."""
        part = nn.Sequential(parts)
        part.training = self.training
        return part

    def freeze(self: C) -> C:
        """Stop the training of `features`, see `dnncore.models.freeze`; return the model."""
        freeze(self.features)
        return self

    def unfreeze(self: C) -> C:
        """Undo `freeze` in the whole model; return the model."""
        return unfreeze(self)

    def replace_head(self: C, num_classes: int) -> C:
        """Give the last layer of `head` new weights for other classes, see `dnncore.models.replace_head`; return the model."""
        return replace_head(self, num_classes)


def freeze(module: M) -> M:
    """Stop the training of a module: its parameters take no gradients, its batch normalisations keep their statistics.

    A frozen batch normalisation normalises by the statistics it has, in training mode too.

    Parameters
    ----------
    module : Module
        A network or a part of it, such as ``model.features`` or ``model.features[:4]``.

    Returns
    -------
    Module
        The same module.

    Examples
    --------
    >>> from dnncore import models
    >>> model = models.lenet5()
    >>> any(p.requires_grad for p in models.freeze(model.features).parameters())
    False
    """
    return _set_frozen(module, True)


def unfreeze(module: M) -> M:
    """Undo `freeze`.

    Parameters
    ----------
    module : Module
        A network or a part of it.

    Returns
    -------
    Module
        The same module.

    Examples
    --------
    >>> from dnncore import models
    >>> model = models.lenet5().freeze()
    >>> all(p.requires_grad for p in models.unfreeze(model).parameters())
    True
    """
    return _set_frozen(module, False)


def replace_head(module: M, num_classes: int) -> M:
    """Put a new layer in the place of the last linear one of ``module.head``, for other classes.

    Its weights are drawn as `nn.Linear` draws them; all others stay.

    Parameters
    ----------
    module : Module
        A network with a part ``head``.
    num_classes : int
        Number of classes, at least 1.

    Returns
    -------
    Module
        The same module. An optimizer made before does not know the new weights.

    Raises
    ------
    ValueError
        If `num_classes` is less than 1 or `module` has no head with a linear layer.

    References
    ----------
    J. Yosinski, J. Clune, Y. Bengio, H. Lipson: How transferable are features in deep neural networks?, NIPS 2014.

    Examples
    --------
    >>> from dnncore import models, nn
    >>> model = models.replace_head(models.lenet5(), 5)
    >>> model.head[-1]
    Linear(in_features=84, out_features=5, bias=True)
    """
    check_at_least("replace_head", 1, num_classes=num_classes)
    parts = [part for part in getattr(module, "head", module).modules() if not list(part.children())]
    last = next((part for part in reversed(parts) if part.state_dict()), None)
    if not isinstance(last, nn.Linear) or not hasattr(module, "head"):
        kind = type(module).__name__
        raise ValueError(f"replace_head: expected a network with a part `head` that ends in a linear layer, got {kind}")
    factory: Any = {"device": last.weight.device, "dtype": last.weight.dtype}
    replacement = nn.Linear(last.in_features, num_classes, bias=last.bias is not None, **factory)
    for owner in list(module.modules()):
        for name, part in owner.named_children():
            if part is last:
                owner.add_module(name, replacement)
    return module


def _set_frozen(module: M, frozen: bool) -> M:
    module.requires_grad_(not frozen)
    parts: Any = module.modules()
    for part in parts:
        if hasattr(part, "freeze_statistics") and part.track_running_stats:
            part.freeze_statistics(frozen)
            part.train(module.training)  # where it is not frozen
    return module


def checked_size(name: str, input: Tensor, least: int) -> Tensor:
    """Return images that are at least `least` pixels high and wide; ValueError with the name of the network otherwise."""
    if input.ndim == 4 and min(input.shape[2:]) < least:
        raise ValueError(
            f"{name}: expected images of at least {least} x {least} pixels, got {tuple(input.shape)}; enlarge them, "
            f"for instance with nn.functional.interpolate(x, size=({least}, {least}), mode='bilinear')"
        )
    return input
