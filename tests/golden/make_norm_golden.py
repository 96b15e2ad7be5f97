"""Write what PyTorch answers for the layers of norm_cases.py: norm.npz. The tests read only the file."""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from norm_cases import LAYERS, trace  # noqa: E402


def main() -> None:
    found = {}
    for name, make in LAYERS.items():
        for key, array in trace(make(torch.nn).double(), torch.tensor, lambda t: t.detach().numpy()).items():
            found[f"{name}/{key}"] = array
    np.savez_compressed(HERE / "norm.npz", **found)


if __name__ == "__main__":
    main()
