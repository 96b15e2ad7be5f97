"""The small ResNets of CIFAR-10: three stages of 16, 32 and 64 channels."""

from __future__ import annotations

from typing import Any, Literal

import dnncore as dnn
from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.resnet import BasicBlock, Residual, conv3x3, draw, projection


class PadShortcut(nn.Module):
    """A shortcut without parameters, option A of the paper: every second pixel, and zeros for the channels that are new.

    Parameters
    ----------
    new_channels : int
        Channels of zeros behind those of the input.
    stride : int, default 2
    """

    def __init__(self, new_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + new_channels, ceil(H / stride), ceil(W / stride))."""
        kept = input[:, :, :: self.stride, :: self.stride]
        return dnn.pad(kept, (0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"new_channels={self.new_channels}, stride={self.stride}"


class CifarResNet(Residual):
    """The ResNet of section 4.2 of the paper, for images of 32 x 32 pixels.

    Parameters with 10 classes and shortcuts A: 269,722 of depth 20, 464,154 of 32, 658,586 of 44, 853,018 of 56.

    Parameters
    ----------
    depth : int
        Number of layers with weights, ``6 n + 2``: 20, 32, 44, 56, 110, ...
    num_classes : int, default 10
    in_channels : int, default 3
    shortcut : {"A", "B"}, default "A"
        Where the shape changes: zeros for new channels, as in the paper, or a 1 x 1 convolution with batch normalisation.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition, CVPR 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.CifarResNet(20)
    >>> sum(p.numel() for p in model.parameters()), model(dnn.zeros(2, 3, 32, 32)).shape
    (269722, (2, 10))
    """

    _FEATURES = ("conv1", "bn1", "relu", "layer1", "layer2", "layer3")

    def __init__(self, depth: int, num_classes: int = 10, *, in_channels: int = 3, shortcut: Literal["A", "B"] = "A") -> None:
        super().__init__()
        check_at_least("CifarResNet", 1, num_classes=num_classes, in_channels=in_channels)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"CifarResNet: expected depth 6 n + 2 such as 20, 32, 44 or 56, got {depth}")
        if shortcut not in ("A", "B"):
            raise ValueError(f"CifarResNet: expected shortcut 'A' or 'B', got {shortcut!r}")
        count = (depth - 2) // 6
        self.conv1 = conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(*(BasicBlock(16, 16) for _ in range(count)))
        self.layer2 = _stage(16, count, shortcut)
        self.layer3 = _stage(32, count, shortcut)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        draw(self)


def _stage(in_channels: int, count: int, shortcut: str) -> nn.Sequential:
    width = 2 * in_channels
    downsample = PadShortcut(in_channels) if shortcut == "A" else projection(in_channels, width, 2)
    return nn.Sequential(BasicBlock(in_channels, width, 2, downsample), *(BasicBlock(width, width) for _ in range(count - 1)))


def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """Return an untrained `CifarResNet` of depth 20.

    Parameters
    ----------
    num_classes : int, default 10
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet20().layer3)
    3
    """
    return CifarResNet(20, num_classes, **options)


def resnet32(num_classes: int = 10, **options: Any) -> CifarResNet:
    """Return an untrained `CifarResNet` of depth 32.

    Parameters
    ----------
    num_classes : int, default 10
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet32().layer3)
    5
    """
    return CifarResNet(32, num_classes, **options)


def resnet44(num_classes: int = 10, **options: Any) -> CifarResNet:
    """Return an untrained `CifarResNet` of depth 44.

    Parameters
    ----------
    num_classes : int, default 10
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet44().layer3)
    7
    """
    return CifarResNet(44, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> CifarResNet:
    """Return an untrained `CifarResNet` of depth 56.

    Parameters
    ----------
    num_classes : int, default 10
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet56().layer3)
    9
    """
    return CifarResNet(56, num_classes, **options)
