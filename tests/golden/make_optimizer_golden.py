"""Makes optimizers.npz with PyTorch: trajectories of every optimizer in float64 under several settings.

Run with PYTHONPATH=tests.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from optimizer_cases import CASES, KEPT, LBFGS_CASES, STEPS, gradient_of, initial_values, rosenbrock

HERE = Path(__file__).parent


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


def lbfgs(settings):
    """Return parameters, first loss and number of evaluations of five steps."""
    w = torch.tensor([-1.2, 1.0, 0.5], requires_grad=True)
    optimizer = torch.optim.LBFGS([w], **settings)

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    rows = []
    for _ in range(5):
        loss = optimizer.step(closure).item()
        rows.append([*w.tolist(), loss, optimizer.state[w]["func_evals"]])
    return np.array(rows)


def main():
    torch.set_default_dtype(torch.float64)  # counters such as mu_product too
    found = {}
    for name, (kind, settings) in CASES.items():
        found[name], state = trajectory(kind, settings)
        found.update({f"{name}/{key}": value for key, value in state.items()})
    for name, settings in LBFGS_CASES.items():
        found[name] = lbfgs(settings)
    np.savez_compressed(HERE / "optimizers.npz", **found)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
