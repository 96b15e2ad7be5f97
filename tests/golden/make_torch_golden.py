"""Write what PyTorch answers: special_values.npz, promotion.json, training.npz. The tests read only the files."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
FLOATS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
OTHERS = {"int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8, "bool": torch.bool}
DTYPES = {**FLOATS, **OTHERS}

UNARY = {
    **{name: getattr(torch, name) for name in ("neg", "abs", "sign", "square", "sqrt", "rsqrt", "reciprocal", "exp")},
    **{name: getattr(torch, name) for name in ("expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tanh")},
    **{name: getattr(torch, name) for name in ("sigmoid", "relu", "erf", "floor", "ceil", "trunc", "round")},
    **{name: getattr(torch, name) for name in ("isnan", "isinf", "isfinite", "logical_not")},
    "gelu": torch.nn.functional.gelu,
    "softplus": torch.nn.functional.softplus,
}
BINARY = (
    "add",
    "sub",
    "mul",
    "div",
    "floor_divide",
    "remainder",
    "pow",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
)
REDUCTIONS = ("sum", "mean", "prod", "max", "min", "argmax", "argmin", "any", "all")


def special(dtype):
    """Zeros, infinities, NaN, the least and largest normal and subnormal numbers, and a few of everyday size."""
    info = torch.finfo(dtype)
    tiny = info.smallest_normal
    least = tiny * info.eps
    positive = [0.0, least, 3 * least, tiny, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0, 100.0, info.max, float("inf")]
    return torch.tensor([*positive, *(-x for x in positive), float("nan")], dtype=torch.float64).to(dtype)


def stored(x):
    if x.dtype in (torch.bfloat16, torch.float16):
        x = x.float()
    return x.detach().numpy()


def unary_values(found):
    for name, dtype in FLOATS.items():
        x = special(dtype)
        found[f"x/{name}"] = stored(x)
        for op, function in UNARY.items():
            found[f"unary/{op}/{name}"] = stored(function(x))
            if name in ("float32", "float64"):
                leaf = x.clone().requires_grad_()
                y = function(leaf)
                if y.requires_grad:
                    y.sum().backward()
                    found[f"gradient/{op}/{name}"] = stored(leaf.grad)


def binary_values(found):
    for name in ("float32", "float64"):
        x = special(FLOATS[name])
        for op in BINARY:
            found[f"binary/{op}/{name}"] = stored(getattr(torch, op)(x[:, None], x[None, :]))


def reduction_rows():
    """Rows of 37 numbers with specials in places that fall into vectors and into their tails."""
    rows = []
    for places in ((), (0,), (5,), (36,), (3, 20)):
        for value in (float("nan"), float("inf"), -float("inf"), -0.0):
            row = np.sin(np.arange(37.0)).astype(np.float32)
            row[list(places)] = value
            rows.append(row)
    rows += [
        np.zeros(37, np.float32),
        -np.zeros(37, np.float32),
        np.full(37, 3e38, np.float32),
        np.full(37, -np.inf, np.float32),
    ]
    mixed = np.ones(37, np.float32)
    mixed[4], mixed[30] = np.inf, -np.inf
    return np.stack([*rows, mixed])


def reduction_values(found):
    x = torch.from_numpy(reduction_rows())
    found["reduce/x"] = x.numpy()
    for op in REDUCTIONS:
        result = getattr(torch, op)(x, 1)
        found[f"reduce/{op}"] = stored(result if isinstance(result, torch.Tensor) else result.values)


def promotion():
    """Result dtypes: {op: {"float32 2d, int64 0d": "float32", ...}}; kinds: 2d, 0d, Python's bool, int and float."""
    operands = {}
    for name, dtype in DTYPES.items():
        operands[f"{name} 2d"] = torch.ones(2, 2, dtype=dtype)
        operands[f"{name} 0d"] = torch.ones((), dtype=dtype)
    numbers = {"bool": True, "int": 1, "float": 1.0}
    found = {}
    for op in ("add", "mul", "div", "maximum", "pow", "lt"):
        table = found[op] = {}
        rights = operands if op == "maximum" else {**operands, **numbers}
        for (a, x), (b, z) in itertools.product(operands.items(), rights.items()):
            try:
                result = getattr(torch, op)(x, z)
            except RuntimeError:
                continue
            table[f"{a}, {b}"] = str(result.dtype).removeprefix("torch.")
    unary = found["unary"] = {}
    for op, function in UNARY.items():
        for name, dtype in DTYPES.items():
            try:
                unary[f"{op} {name}"] = str(function(torch.ones(2, dtype=dtype)).dtype).removeprefix("torch.")
            except RuntimeError:
                continue
    reductions = found["reduce"] = {}
    for op in REDUCTIONS:
        for name, dtype in DTYPES.items():
            try:
                reductions[f"{op} {name}"] = str(getattr(torch, op)(torch.ones(2, dtype=dtype)).dtype).removeprefix("torch.")
            except RuntimeError:
                continue
    return found


def training(found):
    """A 7-9-5 network in float64: losses and weights of six SGD steps under several settings, and loss variants."""
    torch.manual_seed(0)
    x, target = torch.randn(11, 7, dtype=torch.float64), torch.randint(0, 5, (11,))
    weights = [torch.randn(9, 7, dtype=torch.float64) / 3, torch.randn(9, dtype=torch.float64) / 3]
    weights += [torch.randn(5, 9, dtype=torch.float64) / 3, torch.randn(5, dtype=torch.float64) / 3]
    found["x"], found["target"] = x.numpy(), target.numpy()
    for i, weight in enumerate(weights):
        found[f"initial/{i}"] = weight.numpy()
    settings = {
        "plain": {"lr": 0.1},
        "momentum": {"lr": 0.05, "momentum": 0.9},
        "nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "dampened": {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
        "maximize": {"lr": 0.01, "maximize": True},
    }
    for name, options in settings.items():
        parameters = [w.clone().requires_grad_() for w in weights]
        optimizer = torch.optim.SGD(parameters, **options)
        losses = []
        for _ in range(6):
            optimizer.zero_grad()
            hidden = torch.relu(torch.nn.functional.linear(x, parameters[0], parameters[1]))
            loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden, parameters[2], parameters[3]), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        found[f"{name}/losses"] = np.array(losses)
        for i, parameter in enumerate(parameters):
            found[f"{name}/{i}"] = stored(parameter)
    masked = target.clone()
    masked[[1, 4]] = 2
    for reduction in ("none", "mean", "sum"):
        logits = x[:, :5].clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(logits, masked, ignore_index=2, reduction=reduction)
        loss.sum().backward()
        found[f"cross_entropy/{reduction}"], found[f"cross_entropy/{reduction}/gradient"] = (
            stored(loss),
            stored(logits.grad),
        )
    found["cross_entropy/target"] = masked.numpy()


def main():
    values, steps = {}, {}
    unary_values(values)
    binary_values(values)
    reduction_values(values)
    training(steps)
    np.savez_compressed(HERE / "special_values.npz", **values)
    np.savez_compressed(HERE / "training.npz", **steps)
    (HERE / "promotion.json").write_text(json.dumps(promotion(), indent=0, sort_keys=True) + "\n")
    print(f"made with torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
