"""VGG: columns of 3 x 3 convolutions between poolings."""

from __future__ import annotations

from typing import Any, Literal

from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.classifier import Classifier, checked_size
from dnncore.nn import init

_LEAST = 32  # pixels: five poolings
_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # between the poolings


class VGG(Classifier):
    """VGG, for images of 224 x 224 pixels, at least 32 x 32.

    Parameters with 1000 classes: 132,863,336 of depth 11, 133,047,848 of 13, 138,357,544 of 16, 143,667,240 of 19.
    Convolutions start from kaiming_normal (fan out), linear layers from N(0, 0.01), biases from 0, as in torchvision.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Number of layers with weights.
    num_classes : int, default 1000
    dropout : float, default 0.5
        At the outputs of the hidden linear layers.
    batch_norm : bool, default False
        Whether each convolution is normalised.
    in_channels : int, default 3
    hidden : int, default 4096
        Width of the hidden linear layers; 512 is usual for images of 32 x 32 pixels.

    References
    ----------
    K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition, ICLR 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> models.VGG(11, 10, hidden=64)(dnn.zeros(1, 3, 32, 32)).shape
    (1, 10)
    """

    def __init__(
        self,
        depth: Literal[11, 13, 16, 19],
        num_classes: int = 1000,
        dropout: float = 0.5,
        *,
        batch_norm: bool = False,
        in_channels: int = 3,
        hidden: int = 4096,
    ) -> None:
        super().__init__()
        check_at_least("VGG", 1, num_classes=num_classes, in_channels=in_channels)
        if depth not in _CONVOLUTIONS:
            raise ValueError(f"VGG: expected depth 11, 13, 16 or 19, got {depth!r}")
        self.features = _columns(depth, in_channels, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        _draw(self)

    @property
    def head(self) -> nn.Sequential:
        """Pooling, and the linear layers."""
        return self._part(avgpool=self.avgpool, flatten=nn.Flatten(), classifier=self.classifier)

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of images (N, in_channels, H, W)."""
        maps = self.avgpool(self.features(checked_size("VGG", input, _LEAST)))
        logits: Tensor = self.classifier(maps.flatten(1))
        return logits


def _columns(depth: int, in_channels: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, count in zip(_WIDTHS, _CONVOLUTIONS[depth], strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(in_channels, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width), nn.ReLU()] if batch_norm else [nn.ReLU()]
            in_channels = width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


def _draw(model: VGG) -> None:
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            init.normal_(part.weight, 0.0, 0.01)
        else:
            continue
        assert part.bias is not None
        init.zeros_(part.bias)


def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 11.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg11(10, hidden=8).features)
    21
    """
    return VGG(11, num_classes, **options)


def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 11 with batch normalisation.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg11_bn(10, hidden=8).features)
    29
    """
    return VGG(11, num_classes, batch_norm=True, **options)


def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 13.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg13(10, hidden=8).features)
    25
    """
    return VGG(13, num_classes, **options)


def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 13 with batch normalisation.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg13_bn(10, hidden=8).features)
    35
    """
    return VGG(13, num_classes, batch_norm=True, **options)


def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 16.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg16(10, hidden=8).features)
    31
    """
    return VGG(16, num_classes, **options)


def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 16 with batch normalisation.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg16_bn(10, hidden=8).features)
    44
    """
    return VGG(16, num_classes, batch_norm=True, **options)


def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 19.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg19(10, hidden=8).features)
    37
    """
    return VGG(19, num_classes, **options)


def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Return an untrained `VGG` of depth 19 with batch normalisation.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.vgg19_bn(10, hidden=8).features)
    53
    """
    return VGG(19, num_classes, batch_norm=True, **options)
