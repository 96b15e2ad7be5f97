"""Networks written for PyTorch, word for word: bodies(torch) takes `torch` or `dnncore` and returns them.

Each entry: (module class, inputs, loss of module and inputs, optimizer). Inputs are NumPy arrays.
"""

import numpy as np

N = 12


def inputs():
    random = np.random.default_rng(7)
    return {
        "x": random.standard_normal((N, 10)).astype(np.float32),
        "z": random.standard_normal((N, 10)).astype(np.float32),
        "image": random.standard_normal((N, 1, 4, 5)).astype(np.float32),
        "sequence": random.standard_normal((N, 6, 8)).astype(np.float32),
        "target": random.integers(0, 4, N),
        "binary": random.integers(0, 2, (N, 3)).astype(np.float32),
        "sign": (2 * random.integers(0, 2, N) - 1).astype(np.float32),
        "value": random.standard_normal((N, 2)).astype(np.float32),
    }


def bodies(torch):
    nn, F = torch.nn, torch.nn.functional  # noqa: N806

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten()
            self.body = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 16), nn.ELU())
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            x = self.flatten(x)
            x = self.body(x)
            return self.head(x)

    class Residual(nn.Module):
        def __init__(self, width=10):
            super().__init__()
            self.fc1 = nn.Linear(width, width, bias=False)
            self.fc2 = nn.Linear(width, width)
            self.act = nn.SiLU()
            self.out = nn.Linear(width, 2)
            self.scale = nn.Parameter(torch.ones(width))

        def forward(self, x):
            identity = x
            out = self.act(self.fc1(x))
            out = self.fc2(out)
            out += identity
            out = F.gelu(out) * self.scale
            return self.out(out)

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3), nn.LeakyReLU(0.1))
            self.decoder = nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 10))

        def encode(self, x):
            return self.encoder(x)

        def forward(self, x):
            return self.decoder(self.encode(x))

    class Variational(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(10, 8)
            self.mean, self.log_variance = nn.Linear(8, 2), nn.Linear(8, 2)
            self.decoder = nn.Linear(2, 10)

        def forward(self, x, noise):
            h = F.mish(self.hidden(x))
            mean, log_variance = self.mean(h), self.log_variance(h)
            code = mean + noise[:, :2] * torch.exp(0.5 * log_variance)
            return self.decoder(code), mean, log_variance

    class Attention(nn.Module):
        def __init__(self, width=8, heads=2):
            super().__init__()
            self.heads = heads
            # A bias of the keys would have no gradient but rounding, which the optimizer would blow up.
            self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
            self.project = nn.Linear(width, 4)
            self.register_buffer("mask", torch.tril(torch.ones(6, 6)))

        def split(self, x):
            batch, time, width = x.shape
            return x.view(batch, time, self.heads, width // self.heads).transpose(1, 2)

        def forward(self, x):
            q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
            scores = torch.matmul(q, k.transpose(-2, -1)) / k.size(-1) ** 0.5
            scores = scores.masked_fill(self.mask == 0, float("-inf"))
            mixed = torch.einsum("bhij,bhjd->bhid", F.softmax(scores, dim=-1), v)
            mixed = mixed.transpose(1, 2).contiguous().view(x.size(0), x.size(1), -1)
            return self.project(mixed.mean(dim=1))

    class TwoTowers(nn.Module):
        def __init__(self):
            super().__init__()
            self.tower = nn.Sequential(nn.Linear(10, 6), nn.PReLU(), nn.Linear(6, 5))
            self.pair = nn.Bilinear(5, 5, 3)

        def forward(self, x, z):
            return self.pair(self.tower(x), self.tower(z))

        def embed(self, x):
            return self.tower(x)

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(10, 8) for _ in range(3)])
            self.heads = nn.ModuleDict({"class": nn.Linear(4, 4), "value": nn.Linear(4, 2)})
            self.gate = nn.Linear(10, 3)

        def forward(self, x):
            weights = torch.softmax(self.gate(x), dim=1)
            mixed = torch.stack([F.glu(expert(x), dim=-1) for expert in self.experts], dim=1)
            mixed = (weights.unsqueeze(-1) * mixed).sum(dim=1)
            return F.log_softmax(self.heads["class"](mixed), dim=1), F.hardtanh(self.heads["value"](mixed))

    def experts_loss(m, d):
        scores, values = m(d["x"])
        picked = scores.gather(1, d["target"].unsqueeze(1)).squeeze(1)
        return F.nll_loss(scores, d["target"]) + F.smooth_l1_loss(values, d["value"]) - 0.1 * picked.clamp(min=-3).mean()

    def variational_loss(m, d):
        output, mean, log_variance = m(d["x"], d["z"])
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return F.mse_loss(output, d["x"], reduction="sum") / N + divergence / N

    def towers_loss(m, d):
        embedded = F.cosine_embedding_loss(m.embed(d["x"]), m.embed(d["z"]), d["sign"], margin=0.1)
        return (
            F.binary_cross_entropy_with_logits(m(d["x"], d["z"]), d["binary"], pos_weight=torch.tensor([1.0, 2.0, 0.5]))
            + embedded
        )

    smoothing = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.5]), label_smoothing=0.1)
    optim = torch.optim
    return {
        "classifier": (Classifier, lambda m, d: F.cross_entropy(m(d["image"]), d["target"]), lambda p: optim.Adam(p, lr=1e-2)),
        "residual": (
            Residual,
            lambda m, d: F.huber_loss(m(d["x"]), d["value"]),
            lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
        ),
        "autoencoder": (
            Autoencoder,
            lambda m, d: F.mse_loss(m(d["x"]), d["x"]),
            lambda p: optim.RMSprop(p, lr=2e-3, momentum=0.5),
        ),
        "variational": (Variational, variational_loss, lambda p: optim.AdamW(p, lr=5e-3, amsgrad=True)),
        "attention": (Attention, lambda m, d: smoothing(m(d["sequence"]), d["target"]), lambda p: optim.NAdam(p, lr=5e-3)),
        "two towers": (TwoTowers, towers_loss, lambda p: optim.Adagrad(p, lr=2e-2)),
        "experts": (Experts, experts_loss, lambda p: optim.RAdam(p, lr=1e-2, weight_decay=1e-2)),
    }
