"""The optimizers' published formulas in float64 NumPy, for one array: `Rule(kind, settings).step(p, g)` returns the new p."""

import numpy as np

DEFAULTS = {
    "SGD": {"lr": 1e-3, "momentum": 0, "dampening": 0, "nesterov": False},
    "Adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    "AdamW": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 0.01},
    "Adamax": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "NAdam": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 4e-3},
    "RAdam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8},
    "RMSprop": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False},
    "Adagrad": {"lr": 1e-2, "lr_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    "Rprop": {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)},
    "ASGD": {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
}


class Rule:
    def __init__(self, kind, settings):
        self.kind = kind
        common = {"weight_decay": 0, "maximize": False, "decoupled_weight_decay": kind == "AdamW"}
        self.settings = {**common, **DEFAULTS[kind], **settings}
        self.t, self.state = 0, {}

    def step(self, p, g):
        s = self.settings
        self.t += 1
        g = -g if s["maximize"] else g
        if s["decoupled_weight_decay"]:
            p = p * (1 - s["lr"] * s["weight_decay"])
        else:
            g = g + s["weight_decay"] * p
        return getattr(self, self.kind.lower())(p, g, **{k: v for k, v in s.items() if k in DEFAULTS[self.kind]})

    def get(self, key, like, value=0.0):
        return self.state.setdefault(key, np.full(like.shape, value))

    def average(self, key, value, keep):
        self.state[key] = keep * self.get(key, value) + (1 - keep) * value
        return self.state[key]

    def sgd(self, p, g, lr, momentum, dampening, nesterov, **_):
        if not momentum:
            return p - lr * g
        b = g if self.t == 1 else momentum * self.state["b"] + (1 - dampening) * g
        self.state["b"] = b
        return p - lr * (g + momentum * b if nesterov else b)

    def moments(self, g, betas):
        """Return both averages without their bias."""
        m, v = self.average("m", g, betas[0]), self.average("v", g * g, betas[1])
        return m / (1 - betas[0] ** self.t), v / (1 - betas[1] ** self.t)

    def adam(self, p, g, lr, betas, eps, amsgrad, **_):
        m, v = self.moments(g, betas)
        if amsgrad:
            self.state["u"] = np.maximum(self.get("u", g), self.state["v"])
            v = self.state["u"] / (1 - betas[1] ** self.t)
        return p - lr * m / (np.sqrt(v) + eps)

    adamw = adam

    def adamax(self, p, g, lr, betas, eps, **_):
        m = self.average("m", g, betas[0]) / (1 - betas[0] ** self.t)
        self.state["u"] = np.maximum(betas[1] * self.get("u", g), np.abs(g) + eps)
        return p - lr * m / self.state["u"]

    def nadam(self, p, g, lr, betas, eps, momentum_decay, **_):
        _, v = self.moments(g, betas)
        mu = [betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(1, self.t + 2)]
        product = np.prod(mu[:-1])
        m = mu[-1] / (1 - product * mu[-1]) * self.state["m"] + (1 - mu[-2]) / (1 - product) * g
        return p - lr * m / (np.sqrt(v) + eps)

    def radam(self, p, g, lr, betas, eps, **_):
        m, _ = self.moments(g, betas)
        power = betas[1] ** self.t
        limit = 2 / (1 - betas[1]) - 1
        rho = limit - 2 * self.t * power / (1 - power)
        if rho <= 5:
            return p - lr * m
        r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
        return p - lr * m * r * np.sqrt(1 - power) / (np.sqrt(self.state["v"]) + eps)

    def rmsprop(self, p, g, lr, alpha, eps, momentum, centered):
        v = self.average("v", g * g, alpha)
        if centered:
            v = v - self.average("a", g, alpha) ** 2
        d = g / (np.sqrt(v) + eps)
        if momentum:
            d = self.state["b"] = momentum * self.get("b", g) + d
        return p - lr * d

    def adagrad(self, p, g, lr, lr_decay, initial_accumulator_value, eps):
        self.state["s"] = self.get("s", g, initial_accumulator_value) + g * g
        return p - lr / (1 + (self.t - 1) * lr_decay) * g / (np.sqrt(self.state["s"]) + eps)

    def adadelta(self, p, g, lr, rho, eps):
        v = self.average("v", g * g, rho)
        d = np.sqrt(self.get("u", g) + eps) / np.sqrt(v + eps) * g
        self.average("u", d * d, rho)
        return p - lr * d

    def rprop(self, p, g, lr, etas, step_sizes):
        agreement = np.sign(g * self.get("h", g))
        factor = np.where(agreement > 0, etas[1], np.where(agreement < 0, etas[0], 1.0))
        self.state["s"] = np.clip(self.get("s", g, lr) * factor, *step_sizes)
        self.state["h"] = np.where(agreement < 0, 0.0, g)
        return p - np.sign(self.state["h"]) * self.state["s"]

    def asgd(self, p, g, lr, lambd, alpha, t0):
        eta = lr / (1 + lambd * lr * (self.t - 1)) ** alpha
        p = p * (1 - lambd * eta) - eta * g
        mu = 1 / max(1, self.t - 1 - t0)
        self.state["ax"] = p if mu == 1 else self.get("ax", g) + mu * (p - self.get("ax", g))
        return p
