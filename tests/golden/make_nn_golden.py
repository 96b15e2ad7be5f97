"""Write what PyTorch answers for layers, reparametrised weights and clipped gradients: nn.npz. The tests read only the file."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent


def put(found, path, **values):
    for name, value in values.items():
        found[f"{path}/{name}"] = value.detach().double().numpy().copy()


def bilinear(found):
    layer = nn.Bilinear(3, 4, 5, dtype=torch.float64)
    x1, x2 = (torch.randn(6, size, dtype=torch.float64, requires_grad=True) for size in (3, 4))
    y = layer(x1, x2)
    y.square().sum().backward()
    put(found, "bilinear", x1=x1, x2=x2, weight=layer.weight, bias=layer.bias, y=y)
    put(found, "bilinear", dx1=x1.grad, dx2=x2.grad, dweight=layer.weight.grad, dbias=layer.bias.grad)


def weight_norms(found):
    for dim in (0, 1, None):
        layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3, dtype=torch.float64), dim=dim)
        x = torch.randn(5, 4, dtype=torch.float64)
        originals = layer.parametrizations.weight
        with torch.no_grad():
            originals.original0.mul_(1.5)
        y = layer(x)
        y.square().sum().backward()
        path = f"weight_norm/{dim}"
        put(found, path, x=x, y=y, bias=layer.bias, g=originals.original0, v=originals.original1)
        put(found, path, dg=originals.original0.grad, dv=originals.original1.grad)


def spectral_norms(found):
    """Three steps in training mode, one in evaluation, in both forms; the vectors start where PyTorch's did."""
    weight, bias = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    x = torch.randn(5, 4, dtype=torch.float64)
    put(found, "spectral_norm", weight=weight, bias=bias, x=x)
    for form in ("new", "old"):
        layer = nn.Linear(4, 3, dtype=torch.float64)
        layer.load_state_dict({"weight": weight, "bias": bias})
        wrap = nn.utils.parametrizations.spectral_norm if form == "new" else nn.utils.spectral_norm
        layer = wrap(layer, n_power_iterations=2)
        if form == "new":
            inner = layer.parametrizations.weight
            original, u, v = inner.original, inner[0]._u, inner[0]._v
        else:
            original, u, v = layer.weight_orig, layer.weight_u, layer.weight_v
        put(found, f"spectral_norm/{form}", u=u, v=v)
        for step in range(3):
            y = layer(x)
            put(found, f"spectral_norm/{form}", **{f"y{step}": y})
        y.square().sum().backward()
        layer.eval()
        put(found, f"spectral_norm/{form}", dweight=original.grad, u_after=u, v_after=v, y_eval=layer(x))


def clipped(found):
    gradients = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64), torch.tensor(-2.5).double()]
    put(found, "clip", **{f"gradient{i}": gradient for i, gradient in enumerate(gradients)})
    for order in (2.0, 1.0, 3.0, float("inf"), -float("inf"), 0.0):
        for limit in (0.5, 100.0):
            parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            total = nn.utils.clip_grad_norm_(parameters, limit, order)
            path = f"clip/{order}/{limit}"
            put(found, path, total=total, **{f"gradient{i}": p.grad for i, p in enumerate(parameters)})


def lists(found):
    """Keys of states, as text."""
    modules = {
        "weight_norm": nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)),
        "spectral_norm": nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)),
        "bilinear": nn.Bilinear(2, 3, 4),
        "slice": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))[1:],
        "module dict": nn.ModuleDict({"b": nn.Linear(1, 1), "a": nn.Bilinear(1, 1, 1)}),
        "parameter list": nn.ParameterList([torch.ones(1), torch.ones(2)]),
        "parameter dict": nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2)}),
        "lazy": nn.Sequential(nn.LazyLinear(3), nn.ReLU()),
    }
    for name, module in modules.items():
        found[f"keys/{name}"] = np.array(list(module.state_dict()))
        found[f"repr/{name}"] = np.array(repr(module))


def main():
    torch.manual_seed(0)
    found = {}
    for part in (bilinear, weight_norms, spectral_norms, clipped, lists):
        part(found)
    np.savez_compressed(HERE / "nn.npz", **found)
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
