"""Train an LSTM on the source of this library, character by character, and let it write."""

import math
from pathlib import Path

import dnncore as dnn
from dnncore import models
from dnncore.callbacks import LearningRateScheduler
from dnncore.data import Characters, split_text, text_chunks

LENGTH = 64  # characters that the gradient goes back through
EPOCHS = 20
RATE = 5e-3


def main() -> None:
    dnn.manual_seed(0)
    files = sorted((Path(dnn.__file__).parent / "nn").glob("*.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)[:200_000]
    vocabulary = Characters(text)
    train, test = split_text(text)

    network = models.LanguageModel(len(vocabulary), hidden_size=192, embedding_dim=32, dropout=0.1)
    model = dnn.Model(network)
    model.compile(dnn.optim.Adam(network.parameters(), lr=RATE), "cross_entropy", ["accuracy"], clip_norm=1.0)
    falling = LearningRateScheduler(lambda epoch, rate: RATE * (1 - epoch / EPOCHS))
    model.fit(*text_chunks(vocabulary.encode(train), LENGTH), epochs=EPOCHS, batch_size=32, callbacks=[falling], verbose=2)
    found = model.evaluate(*text_chunks(vocabulary.encode(test), LENGTH))
    print(f"held out: {found['loss'] / math.log(2):.2f} bits per character, next character right in {found['accuracy']:.0%}")

    for temperature in (0.3, 0.7, 1.0):
        prime = "    def forward("
        drawn = network.generate(vocabulary.encode(prime), 300, temperature=temperature)
        print(f"\n--- temperature {temperature}\n{prime}{vocabulary.decode(drawn)}")


if __name__ == "__main__":
    main()
