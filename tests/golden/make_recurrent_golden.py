"""Write what PyTorch's recurrent layers answer, with their gradients: recurrent.npz. The tests read only the file."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

sys.path.insert(0, str(Path(__file__).parents[1]))
from recurrent_golden import GOLDEN, STEPS, inputs, key_of, parameters, waves


def main():
    found = {}
    warnings.simplefilter("ignore")
    for name, settings, lengths in GOLDEN:
        layer = getattr(torch.nn, name)(3, 4, dtype=torch.float64, **settings)
        state = layer.state_dict()
        layer.load_state_dict({k: torch.tensor(v) for k, v in parameters({k: tuple(v.shape) for k, v in state.items()}).items()})
        x, h0, c0 = (torch.tensor(each, requires_grad=True) for each in inputs(name, settings))
        batch_first = settings.get("batch_first", False)
        given = x
        if lengths:
            given = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
        y, last = layer(given, (h0, c0) if name == "LSTM" else h0)
        if lengths:
            y, _ = pad_packed_sequence(y, batch_first=batch_first, total_length=STEPS)
        results = [y, *(last if name == "LSTM" else [last])]
        sum((each * torch.tensor(waves(*each.shape, phase=2))).sum() for each in results).backward()
        leaves = [x, h0, *([c0] if name == "LSTM" else []), *layer.parameters()]
        key = key_of(name, settings, lengths)
        found |= {f"{key}/y{i}": each.detach().numpy() for i, each in enumerate(results)}
        found |= {f"{key}/d{i}": each.grad.numpy() for i, each in enumerate(leaves)}
    np.savez_compressed(Path(__file__).parent / "recurrent.npz", **found)
    print(f"{len(found)} arrays made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
