"""Write gemm_shapes.csv, which is committed: awkward products around every tile, block and threshold."""

import csv
import itertools
from pathlib import Path

import numpy as np

LAYOUTS = ("nn", "nt", "tn", "tt")
TILES = (1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97)
DEPTHS = (0, 1, 2, 3, 15, 16, 17, 127, 128, 129, 191, 192, 193, 255, 256, 257, 383, 385)


def shapes():
    # A stored column by column, a row of one, a column of one, nothing at all.
    for m, n, k in itertools.product((0, 1, 5), repeat=3):
        yield m, n, k, 1
    # Each tile edge in m and n, with depths in turn.
    for i, (m, n) in enumerate(zip(TILES, reversed(TILES), strict=True)):
        yield m, n, DEPTHS[i % len(DEPTHS)], 1
        yield m, m, DEPTHS[(i * 5 + 1) % len(DEPTHS)], 1
    # Vectors against matrices.
    for size in (1, 7, 64, 100, 257, 1000):
        yield 1, size, 129, 1
        yield size, 1, 129, 1
        yield 1, size, 2000, 1
        yield size, 1, 2000, 1
    # Past the blocks of k, m and n; long and thin.
    yield from ((7, 9, 20000, 1), (8, 48, 5000, 1), (1, 1, 70000, 1), (500, 16, 777, 1), (16, 500, 777, 1))
    yield from ((641, 49, 193, 1), (449, 33, 257, 1), (300, 300, 300, 1), (129, 513, 385, 1), (700, 35, 400, 1))
    yield from ((128, 512, 784, 1), (512, 784, 128, 1), (64, 10, 512, 1), (32, 10, 64, 1), (1030, 70, 90, 1))
    # Batches.
    for batch, size in itertools.product((2, 3, 17), (1, 5, 16, 33, 50)):
        yield size, size + 1, size + 2, batch
    random = np.random.default_rng(0)
    for _ in range(180):
        m, n, k = (int(x) for x in np.exp(random.uniform(0, np.log(260), 3)))
        yield m, n, k, 1


# Few rows through a large weight, which is computed as its transpose.
TURNED = ((15, 261, 300, 1), (16, 1025, 256, 1), (64, 1285, 257, 1), (128, 300, 520, 1), (96, 2100, 270, 1), (31, 257, 256, 3))


def main():
    with open(Path(__file__).with_name("gemm_shapes.csv"), "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["m", "n", "k", "batch", "layout"])
        for i, shape in enumerate(shapes()):
            writer.writerow([*shape, LAYOUTS[i % 4]])
        writer.writerows([*shape, "nt"] for shape in TURNED)


if __name__ == "__main__":
    main()
