"""What both sides of the comparison of networks do: weights and data from seeds, the numbers that are kept. NumPy alone."""

import zlib

import numpy as np

SIDE = {"alexnet": 63, "alexnet_original": 63, "resnet18": 64, "resnet50": 64, "googlenet": 64, "googlenet_original": 64}
BATCH, STEPS = 6, 5
SETTINGS = {"lr": 0.001, "momentum": 0.9}
KEPT = 5  # entries of each tensor


def weights(name, shape):
    """Return the initial value of a parameter or buffer, float64: by its name alone."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    values = random.standard_normal(shape)
    if kind == "codes":
        return np.sign(values)
    if kind in ("running_var", "weight") and len(shape) == 1:
        return 1 + 0.1 * np.tanh(values)
    if kind != "weight":
        return 0.1 * values
    fan_in = np.prod(shape[1:]) if len(shape) != 3 else 100  # of 3 dimensions: kernels, of which a map of C3 sees about 4
    return values * np.sqrt(1.5 / fan_in)


def data(name):
    random = np.random.default_rng(0)
    side, channels = SIDE.get(name, 32), 1 if name.startswith("lenet") else 3
    return random.standard_normal((BATCH, channels, side, side)), np.arange(BATCH) * 3 % 10


def kept(arrays):
    """Return of each array the norm, and some entries."""
    norms, entries = [], []
    for name, values in arrays.items():
        random = np.random.default_rng(zlib.crc32(name.encode()))
        flat = values.reshape(-1)
        norms.append(np.linalg.norm(flat))
        entries.append(flat[random.integers(flat.size, size=KEPT)])
    return np.array(norms), np.array(entries)
