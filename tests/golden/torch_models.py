"""The networks of dnncore.models in PyTorch, after torchvision and the papers: what ours are compared with."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# --- LeNet-5

C3 = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5]]
C3 += [[0, 1, 4, 5], [0, 1, 2, 5], [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]


def lenet5():
    model = nn.Module()
    tanh = nn.Tanh()
    model.features = nn.Sequential(nn.Conv2d(1, 6, 5), tanh, nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), tanh, nn.AvgPool2d(2))
    model.head = nn.Sequential(nn.Flatten(), nn.Linear(400, 120), tanh, nn.Linear(120, 84), tanh, nn.Linear(84, 10))
    model.forward = lambda x: model.head(model.features(x))
    return model


class ScaledTanh(nn.Module):
    def forward(self, x):
        return 1.7159 * torch.tanh(2 * x / 3)


class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, x):
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return total * self.weight[:, None, None] + self.bias[:, None, None]


class PartialC3(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(60, 5, 5)), nn.Parameter(torch.empty(16))

    def forward(self, x):
        maps, begin = [], 0
        for place, seen in enumerate(C3):
            kernels = self.weight[begin : begin + len(seen)]
            maps.append(functional.conv2d(x[:, seen], kernels[None], self.bias[place : place + 1]))
            begin += len(seen)
        return torch.cat(maps, 1)


class Rbf(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.empty(10, 84))

    def forward(self, x):
        return -(x[:, None] - self.codes).square().sum(2)


def lenet5_historic():
    model = nn.Module()
    squash = ScaledTanh()
    model.features = nn.Sequential(
        nn.Conv2d(1, 6, 5), squash, Subsampling(6), squash, PartialC3(), squash, Subsampling(16), squash
    )
    model.head = nn.Sequential(nn.Flatten(), nn.Linear(400, 120), squash, nn.Linear(120, 84), squash, Rbf())
    model.forward = lambda x: model.head(model.features(x))
    return model


# --- AlexNet and VGG


class Columns(nn.Module):
    def __init__(self, features, pooled, hidden, layers):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        linear = [nn.Linear(features.out * pooled**2, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 10)]
        rest = iter(linear)
        self.classifier = nn.Sequential(
            *(next(rest) if kind == "L" else nn.ReLU() if kind == "R" else nn.Identity() for kind in layers)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def columns(specs, channels):
    layers = []
    for spec in specs:
        if isinstance(spec, nn.Module):
            layers.append(spec)
        else:
            out, kernel, options = spec
            layers.append(nn.Conv2d(channels, out, kernel, **options))
            channels = out
    result = nn.Sequential(*layers)
    result.out = channels
    return result


def relu_pool(*more):
    return nn.ReLU(), *more, nn.MaxPool2d(3, 2)


def alexnet():
    features = columns(
        [
            (64, 11, {"stride": 4, "padding": 2}),
            *relu_pool(),
            (192, 5, {"padding": 2}),
            *relu_pool(),
            (384, 3, {"padding": 1}),
            nn.ReLU(),
            (256, 3, {"padding": 1}),
            nn.ReLU(),
            (256, 3, {"padding": 1}),
            *relu_pool(),
        ],
        3,
    )
    return Columns(features, 6, 64, "DLRDLRL")


def alexnet_original():
    def normalise():
        return nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)

    features = columns(
        [
            (96, 11, {"stride": 4, "padding": 2}),
            *relu_pool(normalise()),
            (256, 5, {"padding": 2, "groups": 2}),
            *relu_pool(normalise()),
            (384, 3, {"padding": 1}),
            nn.ReLU(),
            (384, 3, {"padding": 1, "groups": 2}),
            nn.ReLU(),
            (256, 3, {"padding": 1, "groups": 2}),
            *relu_pool(),
        ],
        3,
    )
    return Columns(features, 6, 64, "LRDLRDL")


def vgg11(batch_norm=False):
    specs = []
    for width in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if width == "M":
            specs.append(nn.MaxPool2d(2, 2))
        else:
            specs += [(width, 3, {"padding": 1}), *([nn.BatchNorm2d(width)] if batch_norm else []), nn.ReLU()]
    return Columns(columns(specs, 3), 7, 64, "LRDLRDL")


# --- GoogLeNet


class Conv(nn.Module):
    def __init__(self, given, out, kernel, norm, **options):
        super().__init__()
        self.conv = nn.Conv2d(given, out, kernel, bias=not norm, **options)
        self.bn = nn.BatchNorm2d(out, eps=0.001) if norm else nn.Identity()

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, given, one, reduced3, three, reduced5, five, pooled, norm, kernel):
        super().__init__()
        self.branch1 = Conv(given, one, 1, norm)
        self.branch2 = nn.Sequential(Conv(given, reduced3, 1, norm), Conv(reduced3, three, 3, norm, padding=1))
        self.branch3 = nn.Sequential(Conv(given, reduced5, 1, norm), Conv(reduced5, five, kernel, norm, padding=kernel // 2))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Conv(given, pooled, 1, norm))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Aux(nn.Module):
    def __init__(self, given, norm):
        super().__init__()
        self.conv = Conv(given, 128, 1, norm)
        self.fc1, self.fc2 = nn.Linear(2048, 1024), nn.Linear(1024, 10)

    def forward(self, x):
        x = torch.flatten(self.conv(functional.adaptive_avg_pool2d(x, (4, 4))), 1)
        return self.fc2(functional.relu(self.fc1(x)))


class GoogLeNet(nn.Module):
    def __init__(self, norm=True, kernel=3):
        super().__init__()
        self.norm = norm

        def block(*channels):
            return Inception(*channels, norm, kernel)

        self.conv1 = Conv(3, 64, 7, norm, stride=2, padding=3)
        self.conv2 = Conv(64, 64, 1, norm)
        self.conv3 = Conv(64, 192, 3, norm, padding=1)
        self.inception3a, self.inception3b = block(192, 64, 96, 128, 16, 32, 32), block(256, 128, 128, 192, 32, 96, 64)
        self.inception4a, self.inception4b = block(480, 192, 96, 208, 16, 48, 64), block(512, 160, 112, 224, 24, 64, 64)
        self.inception4c, self.inception4d = block(512, 128, 128, 256, 24, 64, 64), block(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = block(528, 256, 160, 320, 32, 128, 128)
        self.inception5a, self.inception5b = block(832, 256, 160, 320, 32, 128, 128), block(832, 384, 192, 384, 48, 128, 128)
        self.aux1, self.aux2 = Aux(512, norm), Aux(528, norm)
        self.fc = nn.Linear(1024, 10)

    def normalised(self, x):
        return x if self.norm else functional.local_response_norm(x, 5)

    def forward(self, x):
        def pool(x, kernel=3):
            return functional.max_pool2d(x, kernel, 2, ceil_mode=True)

        x = self.normalised(pool(self.conv1(x)))
        x = pool(self.normalised(self.conv3(self.conv2(x))))
        a = self.inception4a(pool(self.inception3b(self.inception3a(x))))
        d = self.inception4d(self.inception4c(self.inception4b(a)))
        x = pool(self.inception4e(d), 2 if self.norm else 3)
        x = self.fc(self.inception5b(self.inception5a(x)).mean((2, 3)))
        return (x, self.aux2(d), self.aux1(a)) if self.training else x


# --- ResNets


class Block(nn.Module):
    def __init__(self, given, width, stride, shortcut, wide):
        super().__init__()
        sizes = [(given, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        self.convs = sizes if wide else [(given, width, 3, stride), (width, width, 3, 1)]
        for place, (a, b, kernel, step) in enumerate(self.convs, 1):
            setattr(self, f"conv{place}", nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{place}", nn.BatchNorm2d(b))
        out = self.convs[-1][1]
        self.zeros = out - given if shortcut == "A" and out != given else 0
        if shortcut != "A" and (stride != 1 or given != out):
            self.downsample = nn.Sequential(nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        skip = self.downsample(x) if hasattr(self, "downsample") else x
        if self.zeros:
            skip = torch.cat([x[:, :, ::2, ::2], x.new_zeros(len(x), self.zeros, -(-x.shape[2] // 2), -(-x.shape[3] // 2))], 1)
        for place in range(1, len(self.convs) + 1):
            x = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(x))
            x = functional.relu(x if place < len(self.convs) else x + skip)
        return x


class ResNet(nn.Module):
    def __init__(self, counts, first, widths, shortcut="B", wide=False, stem=(3, 1)):
        super().__init__()
        kernel, stride = stem
        self.conv1 = nn.Conv2d(3, first, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.pooled = stride == 2
        self.stages = len(counts)
        given = first
        for stage, (count, width) in enumerate(zip(counts, widths, strict=True)):
            blocks = []
            for place in range(count):
                blocks.append(Block(given, width, 2 if stage and not place else 1, shortcut, wide))
                given = 4 * width if wide else width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(given, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        if self.pooled:
            x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


WIDTHS = (64, 128, 256, 512)
MODELS = {
    "lenet5": lenet5,
    "lenet5_historic": lenet5_historic,
    "alexnet": alexnet,
    "alexnet_original": alexnet_original,
    "vgg11": vgg11,
    "vgg11_bn": lambda: vgg11(batch_norm=True),
    "googlenet": GoogLeNet,
    "googlenet_original": lambda: GoogLeNet(norm=False, kernel=5),
    "resnet20": lambda: ResNet((3, 3, 3), 16, (16, 32, 64), "A"),
    "resnet20_projected": lambda: ResNet((3, 3, 3), 16, (16, 32, 64), "B"),
    "resnet18": lambda: ResNet((2, 2, 2, 2), 64, WIDTHS, stem=(7, 2)),
    "resnet18_cifar": lambda: ResNet((2, 2, 2, 2), 64, WIDTHS),
    "resnet50": lambda: ResNet((3, 4, 6, 3), 64, WIDTHS, wide=True, stem=(7, 2)),
}


def load(model, weights):
    """Fill a network by the recipe's weights, a function of name and shape."""
    state = {name: weights(name, tuple(value.shape)) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in state.items()})
    return model
