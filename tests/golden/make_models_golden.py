"""Write what PyTorch makes of the networks of dnncore.models: models.npz. The tests read only the file.

Outputs, gradients and five steps of SGD in float64; beside each, how far PyTorch's own float32 is from it.
"""

import sys
from pathlib import Path

import model_recipe as recipe
import numpy as np
import torch
from torch.nn import functional
from torch_models import MODELS, load

HERE = Path(__file__).parent


def loss_of(outputs, y):
    if not isinstance(outputs, tuple):
        return functional.cross_entropy(outputs, y)
    return sum(factor * functional.cross_entropy(each, y) for factor, each in zip((1.0, 0.3, 0.3), outputs, strict=True))


def run(name, dtype):
    model = load(MODELS[name](), recipe.weights).to(dtype)
    x, y = recipe.data(name)
    x, y = torch.from_numpy(x).to(dtype), torch.from_numpy(y)
    found = {}
    with torch.no_grad():
        found["evaluated"] = model.eval()(x)
    model.train()
    initial = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), **recipe.SETTINGS)
    losses = []
    for step in range(recipe.STEPS):
        optimizer.zero_grad()
        outputs = model(x)
        loss = loss_of(outputs, y)
        loss.backward()
        if step == 0:
            found["trained"] = torch.cat(outputs) if isinstance(outputs, tuple) else outputs
            gradients = {key: value.grad.double().numpy().copy() for key, value in model.named_parameters()}
            found["gradient_norms"], found["gradients"] = recipe.kept(gradients)
        optimizer.step()
        losses.append(loss.item())
    found["losses"] = np.array(losses)
    changes = {key: (value.detach() - initial[key]).double().numpy() for key, value in model.named_parameters()}
    found["change_norms"], found["changes"] = recipe.kept(changes)
    buffers = {key: value.double().numpy() for key, value in model.named_buffers() if "running" in key}
    if buffers:
        found["buffer_norms"], found["buffers"] = recipe.kept(buffers)
    found = {key: value if isinstance(value, np.ndarray) else value.detach().double().numpy() for key, value in found.items()}
    return found, list(initial)


def main():
    torch.set_num_threads(2)
    kept = {}
    for name in MODELS:
        exact, names = run(name, torch.float64)
        single, _ = run(name, torch.float32)
        kept[f"{name}/names"] = np.array(names)
        for key, value in exact.items():
            kept[f"{name}/{key}"] = value
            kept[f"{name}/{key}/float32"] = np.abs(single[key] - value).max() / np.abs(value).max()
        print(name, exact["losses"], {key: f"{kept[f'{name}/{key}/float32']:.1e}" for key in exact})
    np.savez_compressed(HERE / "models.npz", **kept)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
