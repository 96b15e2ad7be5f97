"""Write bodies.npz: what PyTorch makes of the networks in bodies.py. The tests read only the file."""

from pathlib import Path

import numpy as np
import torch
from bodies import bodies, inputs

STEPS = 10


def run(make, loss_of, optimizer_of, data):
    torch.manual_seed(3)
    module = make().eval()  # no dropout: its masks are nobody else's
    found = {f"initial/{name}": value.numpy().copy() for name, value in module.state_dict().items()}
    optimizer = optimizer_of(module.parameters())
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(module, data)
        loss.backward()
        if step == 0:
            found.update({f"gradient/{name}": value.grad.numpy().copy() for name, value in module.named_parameters()})
        optimizer.step()
        losses.append(loss.item())
    found.update({f"final/{name}": value.detach().numpy() for name, value in module.named_parameters()})
    return {**found, "losses": np.array(losses)}


def main():
    data = {name: torch.from_numpy(array) for name, array in inputs().items()}
    found = {}
    for name, (make, loss_of, optimizer_of) in bodies(torch).items():
        found.update({f"{name}/{key}": value for key, value in run(make, loss_of, optimizer_of, data).items()})
    np.savez_compressed(Path(__file__).with_name("bodies.npz"), **found)


if __name__ == "__main__":
    main()
