"""Cases of interpolation, shuffles, blocks, power-average pooling and padding for the tests and for the golden file."""

from __future__ import annotations

SIZES = {
    "nearest": ((2, 3, 5), (2, 3, 5, 7), (1, 2, 3, 4, 5)),
    "nearest-exact": ((2, 3, 5), (2, 3, 5, 7), (1, 2, 3, 4, 5)),
    "linear": ((2, 3, 5),),
    "bilinear": ((2, 3, 5, 7),),
    "bicubic": ((2, 3, 5, 7),),
    "trilinear": ((1, 2, 3, 4, 5),),
    "area": ((2, 3, 5), (2, 3, 5, 7), (1, 2, 3, 4, 5)),
}
TARGETS: list[dict[str, object]] = [
    {"size": 8},
    {"size": 3},
    {"size": 1},
    {"scale_factor": 2.0},
    {"scale_factor": 1.7},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]
CORNERS = ("linear", "bilinear", "bicubic", "trilinear")
BLOCKS: list[tuple[object, ...]] = [(2,), (3, 1, 1, 2), ((2, 3), (2, 1), (0, 2), (2, 1))]

Case = tuple[str, tuple[int, ...], tuple[object, ...], dict[str, object]]

CASES: list[Case] = [
    *(
        ("interpolate", shape, (), {**target, "mode": mode, "align_corners": corners})
        for mode, shapes in SIZES.items()
        for shape in shapes
        for target in TARGETS
        for corners in ((False, True) if mode in CORNERS else (None,))
    ),
    ("pixel_shuffle", (2, 12, 3, 5), (2,), {}),
    ("pixel_unshuffle", (2, 3, 6, 4), (2,), {}),
    ("channel_shuffle", (2, 12, 3), (3,), {}),
    *(("unfold", (2, 3, 6, 4), settings, {}) for settings in BLOCKS),
    ("fold", (2, 12, 15), ((6, 4), 2), {}),
    ("fold", (2, 27, 6), ((6, 4), 3, 1, 1, 2), {}),
    ("lp_pool1d", (2, 3, 9), (2, 2), {}),
    ("lp_pool2d", (2, 3, 9, 8), (3, 2, 1), {}),
    ("lp_pool3d", (1, 2, 4, 5, 6), (2, 3, 2), {"ceil_mode": True}),
    *(
        ("interpolate", (1, 2, 9, 7), (), {**target, "mode": mode, "align_corners": corners, "antialias": True})
        for mode in ("bilinear", "bicubic")
        for target in (*TARGETS, {"size": (2, 3)}, {"size": (9, 14)})
        for corners in (False, True)
    ),
]
NAMES = [f"{name} {shape} {args} {' '.join(map(str, options.values()))}" for name, shape, args, options in CASES]
