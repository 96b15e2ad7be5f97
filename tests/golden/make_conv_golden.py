"""Write what PyTorch's convolutions answer, with their gradients: conv.npz. The tests read only the file."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from reference_conv import GOLDEN, real


def main():
    found = {}
    warnings.simplefilter("ignore")  # of 'same' with an even filter
    for function, shapes, settings in GOLDEN:
        inputs = [torch.tensor(real(*shape, seed=i), requires_grad=True) for i, shape in enumerate(shapes)]
        y = getattr(F, function)(*inputs, **settings)
        y.backward(torch.tensor(real(*y.shape, seed=9)))
        key = f"{function}/{shapes}/{settings}"
        found[key] = y.detach().numpy()
        found |= {f"{key}/{i}": x.grad.numpy() for i, x in enumerate(inputs)}
    np.savez_compressed(Path(__file__).parent / "conv.npz", **found)
    print(f"{len(found)} arrays made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
