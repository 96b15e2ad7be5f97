"""GoogLeNet: inception blocks and auxiliary classifiers; torchvision's network, or the paper's without batch normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import dnncore as dnn
from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.classifier import Classifier, checked_size, replace_head
from dnncore.nn import functional, init

_LEAST = 15  # pixels
_TRUNK: tuple[str, ...] = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3")
_TRUNK += ("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b")
_INCEPTIONS = {  # channels of the input, of branch 1, of branches 2 and 3 (reduced, out), of branch 4
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What `GoogLeNet` returns in training: logits of the last classifier, of the second auxiliary one and of the first.

    The paper's loss is that of `logits` plus 0.3 times that of each other.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> models.googlenet(10)(dnn.zeros(2, 3, 32, 32)).aux_logits1.shape
    (2, 10)
    """

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class Inception(nn.Module):
    """Four branches beside each other, their maps concatenated: 1 x 1; 3 x 3; 3 x 3 or 5 x 5; pooling and 1 x 1.

    Parameters
    ----------
    channels : seven ints
        Of the input, of branch 1, of branches 2 and 3 (reduced by 1 x 1, out), of branch 4.
    batch_norm : bool
        Whether convolutions are normalised.
    kernel : int
        Size of the third branch's convolution.
    """

    def __init__(self, channels: tuple[int, int, int, int, int, int, int], batch_norm: bool, kernel: int) -> None:
        super().__init__()
        given, one, three_reduced, three, five_reduced, five, pooled = channels
        self.branch1 = _conv(given, one, 1, batch_norm)
        self.branch2 = nn.Sequential(
            _conv(given, three_reduced, 1, batch_norm), _conv(three_reduced, three, 3, batch_norm, padding=1)
        )
        self.branch3 = nn.Sequential(
            _conv(given, five_reduced, 1, batch_norm), _conv(five_reduced, five, kernel, batch_norm, padding=kernel // 2)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), _conv(given, pooled, 1, batch_norm))

    def forward(self, input: Tensor) -> Tensor:
        """Return the maps of all branches, concatenated along the channels."""
        return dnn.cat([self.branch1(input), self.branch2(input), self.branch3(input), self.branch4(input)], 1)


class InceptionAux(nn.Module):
    """An auxiliary classifier: means over 4 x 4 places, 1 x 1 convolution to 128 channels, two linear layers.

    Parameters
    ----------
    in_channels, num_classes : int
    batch_norm : bool
    dropout : float
    """

    def __init__(self, in_channels: int, num_classes: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.conv = _conv(in_channels, 128, 1, batch_norm)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """Return logits."""
        hidden = functional.relu(self.fc1(self.conv(self.avgpool(input)).flatten(1)))
        logits: Tensor = self.fc2(self.dropout(hidden))
        return logits


class GoogLeNet(Classifier):
    """GoogLeNet, for images of 224 x 224 pixels, at least 15 x 15.

    13,004,888 parameters with 1000 classes and auxiliary classifiers, 6,624,904 without them. With batch normalisation weights
    start from a normal distribution of deviation 0.01, cut off, as in torchvision; without, from lecun_uniform with biases of
    0.2, as in Caffe's replication.

    Parameters
    ----------
    num_classes : int, default 1000
    aux_logits : bool, default True
        Whether there are auxiliary classifiers, at ``inception4a`` and ``inception4d``; in training the model then returns
        `GoogLeNetOutputs`, else logits.
    dropout : float, default 0.2
        Before the last layer; 0.4 in the paper.
    dropout_aux : float, default 0.7
        In the auxiliary classifiers.
    in_channels : int, default 3
    batch_norm : bool, default True
        Whether convolutions are normalised. If not, they have biases and the stem has local response normalisations, as in
        the paper.
    kernel_5x5 : bool, default False
        Whether the third branch of a block has the paper's 5 x 5 convolution; torchvision has 3 x 3 in its place.

    References
    ----------
    C. Szegedy, W. Liu, Y. Jia et al.: Going deeper with convolutions, CVPR 2015.
    S. Ioffe, C. Szegedy: Batch normalization, ICML 2015.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.GoogLeNet(10, aux_logits=False)
    >>> model(dnn.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """

    aux1: InceptionAux | None
    aux2: InceptionAux | None

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        *,
        in_channels: int = 3,
        batch_norm: bool = True,
        kernel_5x5: bool = False,
    ) -> None:
        super().__init__()
        check_at_least("GoogLeNet", 1, num_classes=num_classes, in_channels=in_channels)
        self.conv1 = _conv(in_channels, 64, 7, batch_norm, stride=2, padding=3)
        self.maxpool1 = _pool(3) if batch_norm else nn.Sequential(_pool(3), _local_response())
        self.conv2 = _conv(64, 64, 1, batch_norm)
        self.conv3 = _conv(64, 192, 3, batch_norm, padding=1)
        self.maxpool2 = _pool(3) if batch_norm else nn.Sequential(_local_response(), _pool(3))
        for name, channels in _INCEPTIONS.items():
            if name in ("4a", "5a"):
                self.add_module("maxpool3" if name == "4a" else "maxpool4", _pool(3 if name == "4a" or not batch_norm else 2))
            self.add_module(f"inception{name}", Inception(channels, batch_norm, 5 if kernel_5x5 else 3))
        self.aux1 = InceptionAux(512, num_classes, batch_norm, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, batch_norm, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        _draw(self, batch_norm)

    @property
    def features(self) -> nn.Sequential:
        """The stem and the inception blocks."""
        return self._part(**{name: self.get_submodule(name) for name in _TRUNK})

    @property
    def head(self) -> nn.Sequential:
        """Pooling, dropout and the linear layer."""
        return self._part(avgpool=self.avgpool, flatten=nn.Flatten(), dropout=self.dropout, fc=self.fc)

    def forward(self, input: Tensor) -> Any:
        """Return the logits (N, num_classes) of images (N, in_channels, H, W); in training with those of the auxiliary heads."""
        maps = checked_size("GoogLeNet", input, _LEAST)
        taps: dict[str, Tensor] = {}
        for name in _TRUNK:
            maps = self._modules[name](maps)  # type: ignore[misc]
            taps[name] = maps
        logits = self.fc(self.dropout(self.avgpool(maps).flatten(1)))
        if not self.training or self.aux1 is None or self.aux2 is None:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(taps["inception4d"]), self.aux1(taps["inception4a"]))

    def replace_head(self, num_classes: int) -> GoogLeNet:
        """Give the last layer of `head` and of the auxiliary classifiers new weights for other classes; return the model."""
        replace_head(self, num_classes)
        for aux in (self.aux1, self.aux2):
            if aux is not None:
                aux.fc2 = nn.Linear(1024, num_classes, device=aux.fc2.weight.device, dtype=aux.fc2.weight.dtype)
        return self


def _conv(in_channels: int, out_channels: int, kernel: int, batch_norm: bool, stride: int = 1, padding: int = 0) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=not batch_norm)
    norm: dict[str, nn.Module] = {"bn": nn.BatchNorm2d(out_channels, eps=0.001)} if batch_norm else {}
    return nn.Sequential({"conv": conv, **norm, "relu": nn.ReLU()})


def _pool(kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


def _local_response() -> nn.Module:
    return nn.LocalResponseNorm(5)


def _draw(model: GoogLeNet, batch_norm: bool) -> None:
    parts: Any = model.modules()
    for part in parts:
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            if batch_norm:
                init.trunc_normal_(part.weight, 0.0, 0.01, -2.0, 2.0)
            else:
                init.lecun_uniform_(part.weight)
                init.constant_(part.bias, 0.2)  # type: ignore[arg-type]


def googlenet(num_classes: int = 1000, **options: Any) -> GoogLeNet:
    """Return an untrained `GoogLeNet`.

    Parameters
    ----------
    num_classes : int, default 1000
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> models.googlenet(10, aux_logits=False).fc
    Linear(in_features=1024, out_features=10, bias=True)
    """
    return GoogLeNet(num_classes, **options)
