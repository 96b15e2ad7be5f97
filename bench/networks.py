"""Convolutional networks in the words that dnncore and PyTorch share: `lib` is one of them. No dropout: both compute the same.

Parameters: LeNet-5 61,706; ResNet-20 272,474, with projections where the shape changes; ResNet-18 with the stem for small images
and 10 classes 11,173,962; AlexNet 61,100,840; GoogLeNet as published, without its auxiliary heads, 6,998,552.
Not those of dnncore.models, which PyTorch could not build, nor those of tests/golden, which prove them right in other words.
"""


def lenet5(lib):
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


def alexnet(lib):
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, 1000),
    )


def googlenet(lib):
    nn = lib.nn

    def conv(inputs, outputs, size, **options):
        return [nn.Conv2d(inputs, outputs, size, **options), nn.ReLU()]

    class Inception(nn.Module):
        def __init__(self, inputs, one, reduce3, three, reduce5, five, pool):
            super().__init__()
            self.one = nn.Sequential(*conv(inputs, one, 1))
            self.three = nn.Sequential(*conv(inputs, reduce3, 1), *conv(reduce3, three, 3, padding=1))
            self.five = nn.Sequential(*conv(inputs, reduce5, 1), *conv(reduce5, five, 5, padding=2))
            self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *conv(inputs, pool, 1))

        def forward(self, x):
            return lib.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)

    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        *conv(3, 64, 7, stride=2, padding=3),
        pool(),
        *conv(64, 64, 1),
        *conv(64, 192, 3, padding=1),
        pool(),
        Inception(192, 64, 96, 128, 16, 32, 32),
        Inception(256, 128, 128, 192, 32, 96, 64),
        pool(),
        Inception(480, 192, 96, 208, 16, 48, 64),
        Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64),
        Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128),
        pool(),
        Inception(832, 256, 160, 320, 32, 128, 128),
        Inception(832, 384, 192, 384, 48, 128, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1024, 1000),
    )


def _resnet(lib, widths, blocks):
    nn = lib.nn

    def conv(inputs, outputs, size, stride):
        layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
        return [layer, nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.inner = nn.Sequential(*conv(inputs, width, 3, stride), nn.ReLU(), *conv(width, width, 3, 1))
            changes = stride > 1 or inputs != width
            self.shortcut = nn.Sequential(*conv(inputs, width, 1, stride)) if changes else nn.Identity()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.inner(x) + self.shortcut(x))

    layers, inputs = [*conv(3, widths[0], 3, 1), nn.ReLU()], widths[0]
    for width in widths:
        for place in range(blocks):
            layers.append(Block(inputs, width, 2 if place == 0 and width != widths[0] else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def resnet20(lib):
    return _resnet(lib, (16, 32, 64), 3)


def resnet18(lib):
    return _resnet(lib, (64, 128, 256, 512), 2)
