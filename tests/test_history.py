"""History, what training shows, and Ctrl-C."""

import io
import json
import signal
import subprocess
import sys
import textwrap
import threading

import dnncore as dnn
import numpy as np
import pytest
from dnncore import History
from dnncore.callbacks import LambdaCallback
from model_cases import VX, VY, X, Y, compiled

RECORD = History(
    {"loss": [0.9, 0.5, float("inf")], "val_loss": [1.0, float("nan"), 0.25], "accuracy": [0.5, 0.75, 1.0]},
    epoch=[2, 3, 4],
    params={"epochs": 5, "steps": None, "batch_size": 32, "samples": None},
    stopped_by="user",
    monitor="val_loss",
    best_epoch=4,
)


def test_as_json_and_back():
    text = json.dumps(RECORD.to_dict(), allow_nan=False)
    found = History.from_dict(json.loads(text))
    for name, value in vars(RECORD).items():
        np.testing.assert_equal(vars(found)[name], value)
    np.testing.assert_equal(History.from_dict(History().to_dict()).history, {})


def test_a_value_that_comes_late_or_goes_is_nan():
    history = History()
    history.append(0, {"loss": 1.0})
    history.append(1, {"loss": 0.5, "lr": 0.1})
    history.append(2, {"lr": 0.2})
    np.testing.assert_equal(history.history, {"loss": [1.0, 0.5, np.nan], "lr": [np.nan, 0.1, 0.2]})


def test_to_frame():
    pytest.importorskip("pandas", reason="makes the table")
    frame = RECORD.to_frame()
    assert list(frame.columns) == ["loss", "val_loss", "accuracy"]
    assert (frame.index.name, list(frame.index)) == ("epoch", [2, 3, 4])
    assert frame.loc[3, "loss"] == 0.5


def test_plot(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="draws")
    pyplot.switch_backend("Agg")
    history = History({**RECORD.history, "train_loss_eval": [0.8, 0.4, 0.3]}, epoch=RECORD.epoch, best_epoch=4)
    loss, accuracy = history.plot()
    shown = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (loss, accuracy)]
    assert shown == [["training", "validation", "training, evaluated", "best: epoch 5"], ["training", "best: epoch 5"]]
    assert (loss.get_ylabel(), accuracy.get_ylabel(), loss.get_xlabel()) == ("loss", "accuracy", "epoch")
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[3, 0.9], [4, 0.5], [5, np.inf]])
    pyplot.close(loss.figure)
    with pytest.raises(ValueError, match=r"History\.plot: expected at least one finished epoch"):
        History().plot()


def test_missing_extras_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"History\.plot: needs matplotlib.*pip install 'dnncore\[plot\]'"):
        RECORD.plot()
    with pytest.raises(ImportError, match=r"History\.to_frame: needs pandas.*pip install 'dnncore\[frame\]'"):
        RECORD.to_frame()


def test_repr():
    assert repr(RECORD) == "History(3 epochs, loss=inf, val_loss=0.25, accuracy=1, stopped_by='user')"
    assert repr(History()) == "History(0 epochs)"


# --- What is shown


def shown(capsys, verbose):
    model = compiled(metrics=["accuracy"])
    model.fit(X, Y, epochs=2, validation_data=(VX, VY), verbose=verbose)
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_plain_lines_without_a_terminal(capsys, verbose):
    lines = shown(capsys, verbose).splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines[:2], 1):
        assert line.startswith(f"epoch {number}/2  loss ")
        assert all(f"  {name} " in line for name in ("accuracy", "val_loss", "val_accuracy"))
    assert lines[2].startswith("fit: the weights are those of epoch 2, the best with val_loss ")


def test_silence(capsys):
    assert shown(capsys, 0) == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal(monkeypatch):
    terminal, reads = Terminal(), []
    monkeypatch.setattr(sys, "stderr", terminal)
    model = compiled()
    clock = iter(np.arange(0, 1000, 0.03))
    monkeypatch.setattr("dnncore.model._progress.time.monotonic", lambda: float(next(clock)))
    read = model._compiled.tally.read
    monkeypatch.setattr(model._compiled.tally, "read", lambda: reads.append(1) or read())
    before = threading.active_count()
    model.fit(X, Y, epochs=10, batch_size=1, verbose="auto")
    assert threading.active_count() == before
    text = terminal.getvalue()
    assert "epoch 1/10:" in text
    assert "epoch 10/10  loss " in text
    assert "batch/s" in text
    assert "<" in text  # time left
    assert len(reads) - 10 <= 53 * 10 * 0.03 / 0.1  # ten times a second, and the end of each epoch


# --- Ctrl-C

SCRIPT = """
import os, signal, sys, time
import dnncore as dnn
from dnncore.callbacks import LambdaCallback

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the caller of the tests does with it
dnn.manual_seed(0)
x = dnn.randn(4000, 20)
y = (x[:, 0] > 0).long()
model = dnn.Model(dnn.nn.Sequential(dnn.nn.Linear(20, 8), dnn.nn.ReLU(), dnn.nn.Linear(8, 2)))
model.compile("adam", "cross_entropy")
press = lambda: os.kill(os.getpid(), signal.SIGINT)
weights = lambda: [p.detach().numpy().tobytes() for p in model.module.parameters()]
"""


def run(body, **settings):
    code = SCRIPT + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, **settings)


def test_the_first_ctrl_c_ends_after_the_batch_and_keeps_the_weights():
    done = run("""
    seen = []
    def end(batch, logs):
        seen.append(batch)
        if len(seen) == 150:
            press()
            kept.append(weights())
    kept = []
    before = signal.getsignal(signal.SIGINT)
    history = model.fit(x, y, epochs=10**6, callbacks=LambdaCallback(on_train_batch_end=end), verbose=2)
    assert weights() == kept[0] and len(seen) == 150
    assert (history.stopped_by, history.epoch) == ("user", [0])
    assert signal.getsignal(signal.SIGINT) is before
    print("done")
    """)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
    assert done.stderr.splitlines()[-1] == "fit: stopped by Ctrl-C"


def test_the_second_ctrl_c_raises_and_the_best_weights_are_back():
    done = run("""
    kept = []
    def end(epoch, logs):
        kept.append((logs["val_loss"], weights()))
        if epoch == 2:
            press()
            press()
            time.sleep(1)
    try:
        model.fit(x, y, epochs=5, validation_split=0.1, callbacks=LambdaCallback(on_epoch_end=end), verbose=0)
    except KeyboardInterrupt:
        print(model.history.stopped_by, weights() == min(kept)[1], signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """)
    assert (done.stdout, done.returncode) == ("user True True\n", 0), done.stderr


def test_ctrl_c_during_validation_ends_too():
    done = run("""
    class Slow:
        def __len__(self):
            return 10**6
        def __iter__(self):
            for number in range(10**6):
                if number == 3:
                    press()
                yield x[:32], y[:32]
    history = model.fit(x, y, epochs=5, validation_data=Slow(), verbose=0)
    print(history.stopped_by, history.epoch)
    """)
    assert (done.stdout, done.returncode) == ("user []\n", 0), done.stderr


def test_ctrl_c_between_epochs_ends_there():
    done = run("""
    seen = []
    press_once = lambda epoch, logs: press()
    count = lambda batch, logs: seen.append(batch)
    history = model.fit(x, y, epochs=9, callbacks=LambdaCallback(on_epoch_end=press_once, on_train_batch_end=count), verbose=0)
    print(history.stopped_by, history.epoch, len(seen))
    """)
    assert (done.stdout, done.returncode) == ("user [0] 125\n", 0), done.stderr


def test_a_signal_that_is_ignored_stays_ignored():
    done = run("""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    history = model.fit(x, y, epochs=1, callbacks=LambdaCallback(on_train_batch_end=lambda batch, logs: press()), verbose=0)
    print(history.stopped_by, signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    """)
    assert (done.stdout, done.returncode) == ("None True\n", 0), done.stderr


def test_a_signal_from_outside_stops_a_busy_fit():
    body = """
ready = LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch == 2 and print("ready", flush=True))
print(model.fit(x, y, epochs=10**6, callbacks=ready, verbose=0).stopped_by)
"""
    with subprocess.Popen([sys.executable, "-c", SCRIPT + body], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=300)
    assert (out, process.returncode) == ("user\n", 0)


def test_fit_in_another_thread():
    found = []

    def work():
        found.append(compiled().fit(X, Y, epochs=2, verbose=0).stopped_by)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_handler_that_was_set_during_fit_stays(handler):
    def mine(*args):
        pass

    compiled().fit(X, Y, callbacks=LambdaCallback(on_epoch_end=lambda *args: signal.signal(signal.SIGINT, mine)), verbose=0)
    assert signal.getsignal(signal.SIGINT) is mine


def test_the_handler_is_restored_after_an_error(handler):
    before = handler

    def fail(*args):
        assert signal.getsignal(signal.SIGINT) is not before
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compiled().fit(X, Y, callbacks=LambdaCallback(on_epoch_end=fail), verbose=0)
    assert signal.getsignal(signal.SIGINT) is before
    assert dnn.is_grad_enabled()
