"""ResNet for ImageNet: basic blocks (18, 34) and bottlenecks (50, 101, 152)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.classifier import Classifier
from dnncore.nn import init
from dnncore.nn.container import run_in_order

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """Return a 3 x 3 convolution without bias that keeps the size, or divides it by its stride."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Return the shortcut of a block that changes the shape; None for one that does not."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: ``relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))``.

    Parameters
    ----------
    in_channels, width : int
        Channels of the input and of the output.
    stride : int, default 1
        Of the first convolution.
    downsample : Module, optional
        The shortcut; the input itself when not given.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """Return maps of the width of the block."""
        shortcut = input if self.downsample is None else self.downsample(input)
        inner = run_in_order([self.conv1, self.bn1, self.relu, self.conv2, self.bn2], input)
        output: Tensor = self.relu(inner + shortcut)
        return output


class Bottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3 and 1 x 1 to four times the width, and a shortcut; the stride is that of the 3 x 3 one.

    Parameters
    ----------
    in_channels, width : int
        Channels of the input, and of the two inner convolutions.
    stride : int, default 1
    downsample : Module, optional
        The shortcut; the input itself when not given.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, input: Tensor) -> Tensor:
        """Return maps of four times the width."""
        shortcut = input if self.downsample is None else self.downsample(input)
        relu = self.relu
        inner = run_in_order([self.conv1, self.bn1, relu, self.conv2, self.bn2, relu, self.conv3, self.bn3], input)
        output: Tensor = relu(inner + shortcut)
        return output


class Residual(Classifier):
    """What both kinds of ResNet share: features from the modules that `_FEATURES` names, a head of pooling and a linear layer."""

    _FEATURES: ClassVar[tuple[str, ...]]
    avgpool: nn.Module
    fc: nn.Module

    @property
    def features(self) -> nn.Sequential:
        """The stem and the stages."""
        return self._part(**{name: self.get_submodule(name) for name in self._FEATURES})

    @property
    def head(self) -> nn.Sequential:
        """Pooling, and the linear layer."""
        return self._part(avgpool=self.avgpool, flatten=nn.Flatten(), fc=self.fc)

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of images (N, in_channels, H, W)."""
        maps = run_in_order([self._modules[name] for name in self._FEATURES], input)
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


class ResNet(Residual):
    """ResNet, for images of 224 x 224 pixels, or of about 32 x 32 with `cifar_stem`.

    Parameters with 1000 classes: 11,689,512 of depth 18, 21,797,672 of 34, 25,557,032 of 50, 44,549,160 of 101, 60,192,808 of
    152. Bottlenecks have their stride in the 3 x 3 convolution and convolutions start from kaiming_normal (fan out), as in
    torchvision.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Number of layers with weights.
    num_classes : int, default 1000
    in_channels : int, default 3
    cifar_stem : bool, default False
        Whether the network begins with a 3 x 3 convolution of stride 1 and no pooling, for small images.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition, CVPR 2016.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.ResNet(18, 10, cifar_stem=True)
    >>> model.features(dnn.zeros(2, 3, 8, 8)).shape
    (2, 512, 1, 1)
    """

    _FEATURES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")

    def __init__(
        self, depth: Literal[18, 34, 50, 101, 152], num_classes: int = 1000, *, in_channels: int = 3, cifar_stem: bool = False
    ) -> None:
        super().__init__()
        check_at_least("ResNet", 1, num_classes=num_classes, in_channels=in_channels)
        if depth not in _BLOCKS:
            raise ValueError(f"ResNet: expected depth 18, 34, 50, 101 or 152, got {depth!r}; 20, 32, 44, 56: CifarResNet")
        bottleneck = depth >= 50
        if cifar_stem:
            self.conv1 = conv3x3(in_channels, 64)
        else:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if cifar_stem else nn.MaxPool2d(3, stride=2, padding=1)
        counts, out = _BLOCKS[depth], 256 if bottleneck else 64
        self.layer1 = _stage(bottleneck, 64, 64, counts[0], 1)
        self.layer2 = _stage(bottleneck, out, 128, counts[1], 2)
        self.layer3 = _stage(bottleneck, 2 * out, 256, counts[2], 2)
        self.layer4 = _stage(bottleneck, 4 * out, 512, counts[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * out, num_classes)
        draw(self)


def _stage(bottleneck: bool, in_channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    block, out = (Bottleneck, 4 * width) if bottleneck else (BasicBlock, width)
    first = block(in_channels, width, stride, projection(in_channels, out, stride))
    return nn.Sequential(first, *(block(out, width) for _ in range(count - 1)))


def draw(model: nn.Module) -> None:
    """Draw the weights of convolutions from kaiming_normal by their fan out."""
    parts: Any = model.modules()
    for part in parts:
        if isinstance(part, nn.Conv2d):
            init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return an untrained `ResNet` of depth 18.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet18(10).layer3)
    2
    """
    return ResNet(18, num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return an untrained `ResNet` of depth 34.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet34(10).layer3)
    6
    """
    return ResNet(34, num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return an untrained `ResNet` of depth 50.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet50(10).layer3)
    6
    """
    return ResNet(50, num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return an untrained `ResNet` of depth 101.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet101(10).layer3)
    23
    """
    return ResNet(101, num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """Return an untrained `ResNet` of depth 152.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> len(models.resnet152(10).layer3)
    36
    """
    return ResNet(152, num_classes, **options)
