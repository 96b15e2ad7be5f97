"""LeNet-5, plain or as published in 1998."""

from __future__ import annotations

from typing import Any, Literal

from dnncore import nn
from dnncore._checks import check_at_least
from dnncore._core import Tensor
from dnncore.models.classifier import Classifier
from dnncore.models.lenet_layers import LeNetC3, RbfOutput, ScaledTanh, Subsampling2d, class_codes, draw_historic

_OPTIONS = {
    "connections": ("full", "historic"),
    "subsampling": ("average", "trainable"),
    "activation": ("tanh", "scaled_tanh"),
    "output": ("linear", "rbf"),
}


class LeNet5(Classifier):
    """LeNet-5, for images of 32 x 32 pixels: 61,706 parameters.

    ===========  ===================================  ==========  ==========
    layer        what                                 output      parameters
    ===========  ===================================  ==========  ==========
    C1           6 convolutions 5 x 5                 6, 28, 28   156
    S2           means of 2 x 2                       6, 14, 14
    C3           16 convolutions 5 x 5                16, 10, 10  2,416
    S4           means of 2 x 2                       16, 5, 5
    C5           linear                               120         48,120
    F6           linear                               84          10,164
    output       linear                               10          850
    ===========  ===================================  ==========  ==========

    With all historic options it has the 60,000 trainable parameters of the paper.

    Parameters
    ----------
    num_classes : int, default 10
    dropout : float, default 0
        Before the last layer.
    in_channels : int, default 1
    connections : {"full", "historic"}, default "full"
        Whether a map of C3 sees all maps of S2, or those of the paper's table I (1,516 parameters).
    subsampling : {"average", "trainable"}, default "average"
        Whether S2 and S4 are means, or sums with a trainable factor and bias per map, followed by the activation.
    activation : {"tanh", "scaled_tanh"}, default "tanh"
        The hyperbolic tangent, or the paper's ``1.7159 tanh(2 x / 3)`` with its initial weights, uniform in
        ``[-2.4 / fan_in, 2.4 / fan_in]``.
    output : {"linear", "rbf"}, default "linear"
        A linear layer; or minus the squared distances to fixed codes of +-1, ten bitmaps of 7 x 12 pixels, for other numbers of
        classes random ones of a fixed seed. Cross-entropy of them is the paper's discriminative criterion.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86, 1998.

    Examples
    --------
    >>> import dnncore as dnn
    >>> from dnncore import models
    >>> model = models.LeNet5()
    >>> sum(p.numel() for p in model.parameters()), model(dnn.zeros(2, 1, 32, 32)).shape
    (61706, (2, 10))
    >>> historic = models.LeNet5(connections="historic", subsampling="trainable", activation="scaled_tanh", output="rbf")
    >>> sum(p.numel() for p in historic.parameters())
    60000
    """

    def __init__(
        self,
        num_classes: int = 10,
        dropout: float = 0.0,
        *,
        in_channels: int = 1,
        connections: Literal["full", "historic"] = "full",
        subsampling: Literal["average", "trainable"] = "average",
        activation: Literal["tanh", "scaled_tanh"] = "tanh",
        output: Literal["linear", "rbf"] = "linear",
    ) -> None:
        super().__init__()
        check_at_least("LeNet5", 1, num_classes=num_classes, in_channels=in_channels)
        given = {"connections": connections, "subsampling": subsampling, "activation": activation, "output": output}
        for name, value in given.items():
            if value not in _OPTIONS[name]:
                raise ValueError(f"LeNet5: expected {name} {' or '.join(map(repr, _OPTIONS[name]))}, got {value!r}")
        squash = nn.Tanh if activation == "tanh" else ScaledTanh

        def pool(channels: int) -> list[nn.Module]:
            return [nn.AvgPool2d(2)] if subsampling == "average" else [Subsampling2d(channels), squash()]

        c3 = nn.Conv2d(6, 16, 5) if connections == "full" else LeNetC3()
        self.features = nn.Sequential(nn.Conv2d(in_channels, 6, 5), squash(), *pool(6), c3, squash(), *pool(16))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(400, 120),
            squash(),
            nn.Linear(120, 84),
            squash(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Linear(84, num_classes) if output == "linear" else RbfOutput(class_codes(num_classes)),
        )
        if activation == "scaled_tanh":
            draw_historic(self)

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of images (N, in_channels, 32, 32)."""
        if input.ndim == 4 and tuple(input.shape[2:]) != (32, 32):
            fix = "pad them: nn.functional.pad(x, (2, 2, 2, 2))" if tuple(input.shape[2:]) == (28, 28) else "resize them"
            raise ValueError(f"LeNet5: expected images of 32 x 32 pixels, got {tuple(input.shape)}; {fix}")
        logits: Tensor = self.head(self.features(input))
        return logits


def lenet5(num_classes: int = 10, **options: Any) -> LeNet5:
    """Return an untrained `LeNet5`.

    Parameters
    ----------
    num_classes : int, default 10
    **options
        As of the class.

    Examples
    --------
    >>> from dnncore import models
    >>> models.lenet5(26, in_channels=3).features[0].weight.shape
    (6, 3, 5, 5)
    """
    return LeNet5(num_classes, **options)
