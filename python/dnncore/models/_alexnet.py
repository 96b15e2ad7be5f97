"""AlexNet: torchvision's single tower, and the network of 2012 with groups and local response normalisation."""

from __future__ import annotations

from typing import Any, Literal

from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.classifier import Classifier, checked_size
from dnncore.nn import init

_LEAST = 63  # pixels, for one pixel in the last pooling


class AlexNet(Classifier):
    """AlexNet, for images of 224 x 224 pixels, at least 63 x 63.

    Parameters
    ----------
    num_classes : int, default 1000
    dropout : float, default 0.5
        At the inputs of the first two linear layers; in the original at their outputs.
    in_channels : int, default 3
    variant : {"single", "original"}, default "single"
        The single tower of 2014, as torchvision has it: 61,100,840 parameters. Or the network of 2012, whose two towers are
        convolutions of two groups, with local response normalisation and the initial values of the paper: 60,965,224 parameters.
    hidden : int, default 4096
        Width of the first two linear layers.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks, NIPS 2012.
    A. Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997, 2014.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> models.AlexNet(10, hidden=64)(dnn.zeros(1, 3, 63, 63)).shape
    (1, 10)
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.5,
        *,
        in_channels: int = 3,
        variant: Literal["single", "original"] = "single",
        hidden: int = 4096,
    ) -> None:
        super().__init__()
        check_at_least("AlexNet", 1, num_classes=num_classes, in_channels=in_channels)
        if variant not in ("single", "original"):
            raise ValueError(f"AlexNet: expected variant 'single' or 'original', got {variant!r}")
        original = variant == "original"
        self.features = _original(in_channels) if original else _single(in_channels)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        first, second = nn.Linear(256 * 6 * 6, hidden), nn.Linear(hidden, hidden)
        last = nn.Linear(hidden, num_classes)
        if original:
            self.classifier = nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), second, nn.ReLU(), nn.Dropout(dropout), last)
            _draw(self)
        else:
            self.classifier = nn.Sequential(nn.Dropout(dropout), first, nn.ReLU(), nn.Dropout(dropout), second, nn.ReLU(), last)

    @property
    def head(self) -> nn.Sequential:
        """Pooling, and the linear layers."""
        return self._part(avgpool=self.avgpool, flatten=nn.Flatten(), classifier=self.classifier)

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of images (N, in_channels, H, W)."""
        maps = self.avgpool(self.features(checked_size("AlexNet", input, _LEAST)))
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits


def _single(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )


def _original(in_channels: int) -> nn.Sequential:
    """Return the features of 2012; the paper's alpha, 1e-4, is for the sum over 5 channels, the layer's for their mean."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )


def _draw(model: AlexNet) -> None:
    """Weights from N(0, 0.01), as in the paper; biases 1 in convolutions 2, 4, 5 and in the hidden linear layers, else 0."""
    layers: list[Any] = [part for part in model.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    for place, layer in enumerate(layers):
        init.normal_(layer.weight, 0.0, 0.01)
        init.constant_(layer.bias, 1.0 if place in (1, 3, 4, 5, 6) else 0.0)


def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    """Return an untrained `AlexNet`.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> models.alexnet(10, in_channels=1, hidden=32).features[0].weight.shape
    (64, 1, 11, 11)
    """
    return AlexNet(num_classes, **options)
