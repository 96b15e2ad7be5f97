"""What the optimizer tests and the script that makes their golden file share: settings, first values, gradients."""

import numpy as np

STEPS = 12
KEPT = (0, 5, 11)  # steps whose parameters are in the golden file

CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    "sgd dampened": ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.5, "maximize": True}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam decayed": ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "betas": (0.9, 0.7), "amsgrad": True}),
    "adam maximize": ("Adam", {"lr": 0.05, "maximize": True, "amsgrad": True, "weight_decay": 0.05}),
    "adam decoupled": ("Adam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.3}),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw amsgrad": ("AdamW", {"lr": 0.05, "weight_decay": 0.5, "amsgrad": True, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.05}),
    "adamax decayed": ("Adamax", {"lr": 0.05, "betas": (0.7, 0.8), "weight_decay": 0.1, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.05}),
    "nadam decayed": ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    "nadam decoupled": ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.05}),
    "radam decayed": ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    "radam decoupled": ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop centered": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "maximize": True}),
    "rmsprop both": ("RMSprop", {"lr": 0.02, "momentum": 0.5, "centered": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad decayed": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    "adagrad maximize": ("Adagrad", {"lr": 0.1, "maximize": True, "eps": 1e-3}),
    "adadelta": ("Adadelta", {}),
    "adadelta decayed": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}),
    "rprop": ("Rprop", {"lr": 0.05}),
    "rprop clamped": ("Rprop", {"lr": 0.05, "etas": (0.4, 1.5), "step_sizes": (0.02, 0.1), "maximize": True}),
    "asgd": ("ASGD", {"lr": 0.05}),
    "asgd averaged": ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 3, "weight_decay": 0.1, "maximize": True}),
}

LBFGS_CASES = {
    "lbfgs": {"lr": 0.1, "max_iter": 4, "history_size": 3},
    "lbfgs wolfe": {"line_search_fn": "strong_wolfe", "max_iter": 3},
    "lbfgs wolfe short": {"line_search_fn": "strong_wolfe", "lr": 0.01, "max_iter": 2, "max_eval": 8, "history_size": 2},
}

SHAPES = [(3, 5), (7,), (), (1, 33)]


def initial_values():
    """Return float64 arrays of SHAPES."""
    random = np.random.default_rng(0)
    return [np.array(random.normal(size=shape)) for shape in SHAPES]


def gradient_of(index, step, value):
    """Return a gradient that depends on the parameter, changes its sign now and then and is sometimes zero."""
    noise = np.random.default_rng([index, step]).normal(size=value.shape)
    return np.where(noise > 1.8, 0.0, 0.3 * value + noise)


def rosenbrock(w):
    """Return Rosenbrock's function of three variables, for tensors of any library."""
    return (10 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()
