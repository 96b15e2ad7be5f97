"""Makes optimizers.npz with PyTorch: trajectories of every optimizer in float64, twelve steps each, under several settings."""

import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from optimizer_cases import CASES, KEPT, STEPS, gradient_of, initial_values


def trajectory(kind, settings):
    """Return parameters after the steps KEPT, flattened; the state after the last."""
    parameters = [torch.tensor(value, requires_grad=True) for value in initial_values()]
    optimizer = getattr(torch.optim, kind)(parameters, foreach=False, **settings)
    path = []
    for step in range(STEPS):
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.tensor(gradient_of(i, step, parameter.detach().numpy()))
        optimizer.step()
        path.append(np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters]))
    state = {
        key: np.concatenate([np.ravel(optimizer.state[p][key].double().numpy()) for p in parameters])
        for key in optimizer.state[parameters[0]]
        if optimizer.state[parameters[0]][key] is not None
    }
    return np.stack(path)[list(KEPT)], state


def main():
    torch.set_default_dtype(torch.float64)  # counters such as mu_product too
    found = {}
    for name, (kind, settings) in CASES.items():
        found[name], state = trajectory(kind, settings)
        found.update({f"{name}/{key}": value for key, value in state.items()})
    np.savez_compressed(HERE / "optimizers.npz", **found)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
