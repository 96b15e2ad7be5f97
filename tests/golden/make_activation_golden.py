"""Write what PyTorch answers for layers of activations: activation_layers.npz. The tests read only the file.

Keys: x/<dtype>, <layer>/<dtype> and <layer>/<dtype>/gradient, where <layer> is the call that makes it.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
LAYERS = (
    "ReLU6()",
    "LeakyReLU()",
    "LeakyReLU(-0.5)",
    "ELU(alpha=0.7)",
    "CELU(alpha=1.5)",
    "SELU()",
    "Softplus()",
    "Softplus(beta=2.5, threshold=5)",
    "Softsign()",
    "GELU(approximate='tanh')",
    "SiLU()",
    "Mish()",
    "Hardtanh()",
    "Hardtanh(-0.3, 2.1)",
    "Hardsigmoid()",
    "Hardswish()",
    "LogSigmoid()",
    "Threshold(0.5, 9.0)",
    "Hardshrink()",
    "Softshrink(0.3)",
    "Tanhshrink()",
    "PReLU()",
    "PReLU(5, init=0.125)",
    "RReLU().eval()",
    "GLU(dim=0)",
)
SPECIAL = [0.0, -0.0, 3.0, -3.0, 0.5, -0.5, 6.0, 1.0, -1.0, 20.0, 100.0, -100.0, 1e20, -1e20, float("inf"), -float("inf")]


def main():
    x = torch.from_numpy(np.random.default_rng(0).uniform(-5, 5, 64))
    x = torch.cat([x, torch.tensor(SPECIAL, dtype=torch.float64)]).reshape(-1, 5)
    found = {"layers": np.array(LAYERS)}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        found[f"x/{name}"] = x.to(dtype).numpy()
        for call in LAYERS:
            leaf = x.to(dtype, copy=True).requires_grad_()
            layer = eval(call, vars(nn)).to(dtype)
            y = layer(leaf)
            y.sum().backward()
            found[f"{call}/{name}"] = y.detach().numpy()
            found[f"{call}/{name}/gradient"] = leaf.grad.numpy()
    np.savez_compressed(HERE / "activation_layers.npz", **found)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
