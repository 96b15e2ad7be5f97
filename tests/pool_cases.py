"""Cases of pooling for the tests and for the golden file: function, shape of the input, settings. NumPy alone is used here."""

from __future__ import annotations

import numpy as np

Case = tuple[str, tuple[int, ...], dict[str, object]]

WINDOWS: list[tuple[str, tuple[int, ...], dict[str, object]]] = [
    ("1d", (2, 3, 11), {"kernel_size": 3}),
    ("1d", (1, 1, 300), {"kernel_size": 5, "stride": 2, "padding": 2, "ceil_mode": True}),
    ("1d", (17, 9), {"kernel_size": 2, "stride": 3}),
    ("2d", (3, 6, 8, 8), {"kernel_size": 2}),
    ("2d", (2, 16, 9, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("2d", (2, 70, 9, 10), {"kernel_size": (3, 2), "stride": (2, 1), "ceil_mode": True}),
    ("2d", (1, 5, 20, 21), {"kernel_size": 17, "stride": 2, "padding": 3}),
    ("2d", (3, 7, 6), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("2d", (2, 64, 5, 5), {"kernel_size": 5}),
    ("3d", (2, 3, 5, 6, 7), {"kernel_size": 2, "stride": 1}),
    ("3d", (1, 17, 6, 5, 7), {"kernel_size": (2, 3, 3), "stride": 2, "padding": (1, 0, 1), "ceil_mode": True}),
]
SIZES: list[tuple[str, tuple[int, ...], object]] = [
    ("1d", (2, 3, 11), 4),
    ("1d", (2, 17, 6), 6),
    ("2d", (2, 3, 7, 9), (3, 4)),
    ("2d", (1, 70, 5, 6), (None, 1)),
    ("2d", (2, 16, 4, 4), (7, 5)),
    ("2d", (6, 12, 12), 4),
    ("3d", (1, 3, 5, 6, 7), (2, 6, 3)),
]

CASES: list[Case] = [
    *((f"max_pool{n}", shape, {**settings, "return_indices": True}) for n, shape, settings in WINDOWS),
    ("max_pool2d", (2, 3, 9, 11), {"kernel_size": 3, "stride": 2, "dilation": 2, "return_indices": True}),
    ("max_pool1d", (2, 3, 11), {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 3, "return_indices": True}),
    *((f"avg_pool{n}", shape, settings) for n, shape, settings in WINDOWS),
    *(
        (f"avg_pool{n}", shape, {**settings, "count_include_pad": False})
        for n, shape, settings in WINDOWS
        if "padding" in settings
    ),
    ("avg_pool2d", (2, 3, 7, 7), {"kernel_size": 3, "padding": 1, "divisor_override": 5}),
    *((f"adaptive_max_pool{n}", shape, {"output_size": size, "return_indices": True}) for n, shape, size in SIZES),
    *((f"adaptive_avg_pool{n}", shape, {"output_size": size}) for n, shape, size in SIZES),
]
NAMES = [f"{name} {shape} {' '.join(map(str, settings.values()))}" for name, shape, settings in CASES]


def whole_numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Few of them, so that windows have ties."""
    return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(np.float64)
