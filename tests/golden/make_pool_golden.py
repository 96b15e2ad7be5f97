"""Write what PyTorch answers for the cases of pooling: pool.npz. The tests read only the file."""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from pool_cases import CASES, whole_numbers  # noqa: E402


def main() -> None:
    found = {}
    for i, (name, shape, settings) in enumerate(CASES):
        x = torch.tensor(whole_numbers(shape), requires_grad=True)
        result = getattr(torch.nn.functional, name)(x, **settings)
        y = result[0] if isinstance(result, tuple) else result
        y.backward(torch.tensor(whole_numbers(tuple(y.shape), 1)))
        found[f"{i}/y"], found[f"{i}/dx"] = (part.detach().numpy().astype(np.float32) for part in (y, x.grad))
        if isinstance(result, tuple):
            found[f"{i}/indices"] = result[1].numpy().astype(np.int16)
    np.savez_compressed(HERE / "pool.npz", **found)


if __name__ == "__main__":
    main()
