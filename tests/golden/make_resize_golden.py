"""Write what PyTorch answers for the cases of interpolation and its neighbours: resize.npz. The tests read only the file."""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from pool_cases import whole_numbers  # noqa: E402
from resize_cases import CASES  # noqa: E402


def main() -> None:
    found = {}
    for i, (name, shape, args, options) in enumerate(CASES):
        x = torch.tensor(np.abs(whole_numbers(shape)) + 1, requires_grad=True)
        y = getattr(torch, name, None) or getattr(torch.nn.functional, name)
        y = y(x, *args, **options)
        y.backward(torch.tensor(whole_numbers(tuple(y.shape), 1)))
        found[f"{i}/y"], found[f"{i}/dx"] = y.detach().numpy(), x.grad.numpy()
    np.savez_compressed(HERE / "resize.npz", **found)


if __name__ == "__main__":
    main()
