"""Makes schedulers.npz with PyTorch: learning rate and momentum of two groups along every schedule. Run with PYTHONPATH=tests."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from scheduler_cases import CASES, RATES, STEPS, trace


def main():
    warnings.simplefilter("ignore")
    found = {}
    for name, build in CASES.items():
        groups = [{"params": [torch.ones(1)], "lr": lr} for lr in RATES]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        scheduler = build(torch.optim.lr_scheduler, optimizer)
        first = [group[key] for group in optimizer.param_groups for key in ("lr", "momentum")]
        found[name] = np.array([first, *trace(torch.optim.lr_scheduler, optimizer, scheduler, range(STEPS))])
    np.savez_compressed(Path(__file__).parent / "schedulers.npz", **found)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
