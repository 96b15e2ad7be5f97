"""What a network sees: pictures of filters, of activations, of what its answer depends on, and of its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from dnncore import _core
from dnncore._core import Generator, Tensor
from dnncore._grad_mode import enable_grad
from dnncore.autograd import grad
from dnncore.metrics import ConfusionMatrix
from dnncore.model import _pictures
from dnncore.model._arrays import as_tensor, dtype_of
from dnncore.model._compiled import evaluating
from dnncore.model._device import device_of
from dnncore.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from dnncore.model.model import Model

_MOST = 64  # pictures in a figure


class Seeing:
    """Methods of `Model` that show what its network has learnt. Figures are matplotlib's, made without pyplot.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = dnn.Model(models.lenet5())
    >>> model.saliency(dnn.rand(2, 1, 32, 32)).shape
    (2, 32, 32)
    """

    @property
    def module(self) -> Module:
        """The network."""
        raise NotImplementedError

    def plot_filters(self, layer: str | Module) -> Figure:
        """Draw the weights of a convolution: red is positive, blue negative; of three input channels as colours.

        Parameters
        ----------
        layer : str or Module
            The convolution, by its path such as "features.0", or itself. Of more than one input channel each filter is a row and
            each channel a column; the first 64 filters are shown, of rows the first 16.

        Returns
        -------
        matplotlib.figure.Figure
            ``figure.savefig("filters.png")`` writes it.

        Raises
        ------
        ValueError
            If there is no such layer, or it has no weight of shape (filters, channels, height, width).
        ImportError
            If matplotlib is missing (extra ``plot``).
        """
        path, part = self._layer("plot_filters", layer)
        weight = part._parameters.get("weight")
        if weight is None or weight.ndim != 4:
            shape = "none" if weight is None else f"one of {tuple(weight.shape)}"
            raise ValueError(
                f"plot_filters: expected a layer with a weight of shape (filters, channels, height, width), "
                f"but {path} ({type(part).__name__}) has {shape}"
            )
        values = weight.detach().float().cpu().numpy()
        shown = values[:16] if values.shape[1] not in (1, 3) else values[:_MOST]
        title = f"{path}: {_of(len(shown), len(values))} filters"
        if values.shape[1] == 3:
            return _pictures.colour_filters(shown, title)
        if values.shape[1] == 1:
            return _pictures.filters(shown, title)
        return _pictures.filters(shown[:, :16], f"{title}, {_of(min(16, values.shape[1]), values.shape[1])} channels")

    def plot_activations(self, layer: str | Module, x: Any) -> Figure:
        """Draw what a layer makes of one image: a map per channel, the first 64.

        Parameters
        ----------
        layer : str or Module
            The layer, by its path or itself; its output must have the shape (1, channels, height, width).
        x : array of shape (channels, height, width), or (1, channels, height, width)
            The image, as the network takes it.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is no such layer, it does not run, or makes no maps; or `x` is not one image.
        ImportError
            If matplotlib is missing (extra ``plot``).
        """
        path, part = self._layer("plot_activations", layer)
        image = self._images("plot_activations", x)
        if len(image) != 1:
            raise ValueError(f"plot_activations: expected one image, got {len(image)}; take x[:1]")
        found: list[Any] = []
        handle = part.register_forward_hook(lambda module, inputs, output: found.append(output))
        try:
            with evaluating(self.module):
                self.module(image)
        finally:
            handle.remove()
        if not found:
            raise ValueError(f"plot_activations: {path} did not run")
        maps = found[-1]
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ValueError(f"plot_activations: expected maps (1, channels, height, width) from {path}, got {got}")
        values = maps.detach().float().cpu().numpy()[0]
        title = f"{path}: {_of(min(_MOST, len(values)), len(values))} maps of {values.shape[1]} x {values.shape[2]}"
        return _pictures.activations(image.float().cpu().numpy()[0], values[:_MOST], title)

    def saliency(
        self,
        x: Any,
        target: Any = None,
        *,
        samples: int = 1,
        noise: float = 0.15,
        generator: Generator | None = None,
    ) -> Tensor:
        r"""Return how much each pixel matters for the score of a class: ``max_c |d score / d x[c]|``.

        Parameters
        ----------
        x : array of shape (N, channels, height, width), or (channels, height, width)
            The images, as the network takes them.
        target : int or array of shape (N,), optional
            The classes; the predicted ones when not given.
        samples : int, default 1
            If more than 1, the gradients of so many noisy copies are averaged: SmoothGrad.
        noise : float, default 0.15
            Standard deviation of that noise, as a part of the range of values of the images.
        generator : Generator, optional
            Where the noise is drawn from; the default generator when not given.

        Returns
        -------
        Tensor of shape (N, height, width), on the CPU

        Raises
        ------
        ValueError
            If `x` has another shape, the network returns no scores (N, classes), or a class is out of range.

        References
        ----------
        K. Simonyan, A. Vedaldi, A. Zisserman: Deep inside convolutional networks: visualising image classification models and
        saliency maps, arXiv:1312.6034, 2013.
        D. Smilkov, N. Thorat, B. Kim et al.: SmoothGrad: removing noise by adding noise, arXiv:1706.03825, 2017.
        """
        return self._saliency(self._images("saliency", x), target, samples, noise, generator)[0].cpu()

    def plot_saliency(
        self,
        x: Any,
        target: Any = None,
        *,
        class_names: Sequence[Any] | None = None,
        samples: int = 1,
        noise: float = 0.15,
        generator: Generator | None = None,
    ) -> Figure:
        """Draw images and below them their `saliency`, the first eight.

        Parameters
        ----------
        x, target, samples, noise, generator
            As of `saliency`.
        class_names : sequence, optional
            Names of the classes; their numbers when not given.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            As `saliency`.
        ImportError
            If matplotlib is missing (extra ``plot``).
        """
        images = self._images("plot_saliency", x)[:8]
        if target is not None and not isinstance(target, int):
            target = as_tensor("plot_saliency", "target", target)[:8]
        found, classes, scores = self._saliency(images, target, samples, noise, generator)
        shares = scores.double().softmax(1).cpu().numpy()[np.arange(len(images)), classes.cpu().numpy()]
        names = [_named(class_names, number) for number in classes.tolist()]
        titles = [f"{name}: {100 * share:.1f} %" for name, share in zip(names, shares, strict=True)]
        return _pictures.saliency(images.float().cpu().numpy(), found.float().cpu().numpy(), titles)

    def plot_confusion(
        self,
        x: Any,
        y: Any,
        *,
        class_names: Sequence[Any] | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        batch_size: int = 256,
    ) -> Figure:
        """Draw how often each class was taken for each: a row per true class, a column per predicted one.

        Parameters
        ----------
        x, y : arrays
            Inputs and classes, as of `Model.evaluate`.
        class_names : sequence, optional
            Names of the classes; their numbers when not given.
        normalize : {"true", "pred", "all"}, optional
            Shares of rows, of columns or of all in place of counts.
        batch_size : int, default 256
            Samples at a time.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If the data does not fit the network, or targets are no classes.
        ImportError
            If matplotlib is missing (extra ``plot``).
        """
        matrix = ConfusionMatrix(normalize=normalize)
        matrix.update(cast("Model", self).predict(x, batch_size), as_tensor("plot_confusion", "y", y).cpu())
        cells = matrix.compute()
        names = [str(_named(class_names, number)) for number in range(len(cells))]
        return _pictures.confusion(cells, names)

    def _layer(self, op: str, layer: str | Module) -> tuple[str, Module]:
        """Return path and module of a layer of the network."""
        parts = dict(self.module.named_modules())
        for path, part in parts.items():
            if part is layer or path == layer:
                return path or type(part).__name__, part
        if isinstance(layer, Module):
            raise ValueError(f"{op}: this {type(layer).__name__} is not part of the network")
        raise ValueError(f"{op}: no layer {layer!r}; there are {', '.join(path for path in parts if path)}")

    def _images(self, op: str, x: Any) -> Tensor:
        images = as_tensor(op, "x", x).to(device_of(self.module), dtype_of(self.module))
        if images.ndim == 3:
            images = images.unsqueeze(0)
        if images.ndim != 4 or images.numel() == 0:
            raise ValueError(f"{op}: expected images of shape (N, channels, height, width), got {tuple(images.shape)}")
        return images

    def _saliency(
        self, images: Tensor, target: Any, samples: int, noise: float, generator: Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps, the classes they are of, and the scores."""
        if samples < 1 or noise < 0:
            raise ValueError(f"saliency: expected at least one sample and noise of at least 0, got {samples} and {noise}")
        with evaluating(self.module):
            scores = self.module(images)
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            raise ValueError("saliency: expected a network that returns scores of shape (N, classes)")
        classes = scores.argmax(1) if target is None else _classes(target, scores)
        deviation = noise * (images.max() - images.min()).item()
        total = _core.zeros_like(images)
        for _ in range(samples):
            given = images
            if samples > 1:
                drawn = _core.randn(*images.shape, dtype=images.dtype, generator=generator, device=images.device)
                given = images + deviation * drawn
            total = total + self._gradient(given, classes)
        return (total / samples).abs().amax(1), classes, scores

    def _gradient(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the gradient of the score of each image's class; those of the parameters stay as they are."""
        given = images.detach().clone().requires_grad_()
        with evaluating(self.module), enable_grad():
            scores = self.module(given)
            (found,) = grad(scores.gather(1, classes.reshape(-1, 1)).sum(), given)
        return found.detach()


def _classes(target: Any, scores: Tensor) -> Tensor:
    count, number = scores.shape
    classes = as_tensor("saliency", "target", [target] * count if isinstance(target, int) else target).long().to(scores.device)
    if classes.shape != (count,):
        raise ValueError(f"saliency: expected a class, or one for each of {count} images, got {tuple(classes.shape)}")
    if int(classes.min()) < 0 or int(classes.max()) >= number:
        raise ValueError(f"saliency: expected classes from 0 to {number - 1}, got {classes.tolist()}")
    return classes


def _named(names: Sequence[Any] | None, number: int) -> Any:
    return number if names is None else names[number]


def _of(shown: int, there: int) -> str:
    return str(there) if shown == there else f"{shown} of {there}"
