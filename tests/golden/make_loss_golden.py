"""Write what PyTorch's losses answer, with their gradients: losses.npz. The tests read only the file."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from loss_cases import CASES, REDUCTIONS, inputs


def main():
    found = {}
    for name, case in CASES.items():
        for reduction in (*REDUCTIONS, *case.reductions):
            arrays = {key: torch.from_numpy(np.array(x)) for key, x in inputs(case).items()}
            first = next(iter(arrays.values())).requires_grad_()
            loss = getattr(F, case.function)(**arrays, **case.options, reduction=reduction)
            loss.sum().backward()
            found[f"{name}/{reduction}"] = loss.detach().numpy()
            found[f"{name}/{reduction}/gradient"] = first.grad.numpy()
    np.savez_compressed(Path(__file__).parent / "losses.npz", **found)
    print(f"{len(found)} arrays made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
