"""Who remembers the first symbol? A window of delays, a plain RNN and an LSTM over growing lags."""

import dnncore as dnn
from dnncore import models
from dnncore.data import make_first_symbol
from dnncore.nn import functional

LAGS = (5, 10, 20, 50, 100)
CLASSES, SYMBOLS = 8, 16
EPOCHS = 15
SEEDS = 3
WINDOW = 10  # steps that the perceptron sees


def networks(lag: int) -> dict[str, dnn.nn.Module]:
    return {
        f"window of {WINDOW}": models.delay_network(SYMBOLS, CLASSES, min(WINDOW, lag + 1)),
        "RNN": models.SequenceClassifier(SYMBOLS, CLASSES, 32, cell="rnn"),
        "LSTM": models.SequenceClassifier(SYMBOLS, CLASSES, 32, memory=lag + 2),
    }


def accuracy(network: dnn.nn.Module, lag: int) -> float:
    tokens, y = make_first_symbol(2500, lag, dnn.Generator().manual_seed(1), classes=CLASSES, distractors=SYMBOLS - CLASSES)
    x = functional.one_hot(tokens, SYMBOLS).float()
    model = dnn.Model(network)
    model.compile(dnn.optim.Adam(network.parameters(), lr=0.005), "cross_entropy", ["accuracy"], clip_norm=1.0)
    model.fit(x[:2000], y[:2000], epochs=EPOCHS, batch_size=50, verbose=0)
    return model.evaluate(x[2000:], y[2000:])["accuracy"]


def main() -> None:
    print(f"accuracy of {SEEDS} trainings each; guessing has {1 / CLASSES:.2f}")
    print(f"{'lag':>4}  " + "  ".join(f"{name:>16}" for name in networks(1)))
    for lag in LAGS:
        found: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            dnn.manual_seed(seed)
            for name, network in networks(lag).items():
                found.setdefault(name, []).append(accuracy(network, lag))
        print(f"{lag:>4}  " + "  ".join(f"{' '.join(f'{value:.2f}' for value in values):>16}" for values in found.values()))


if __name__ == "__main__":
    main()
