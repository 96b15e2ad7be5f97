"""A good guest in a Python process: silence, Ctrl-C, fork, threads, and memory that runs out.

Whatever could end or disturb this process runs in its own.
"""

import gc
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import dnncore as dnn
import numpy as np
import pytest
from cases import numbers, tensor
from dnncore import _core, nn


def run(code, timeout=120, **options):
    """A fresh interpreter; returns what it printed. stderr must stay empty and the exit status 0."""
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout, **options
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


STATE = """
import locale, os, random, signal, sys
import numpy as np
def state():
    handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}
    subnormal = np.float32(1e-40) * np.float32(0.5) > 0  # not flushed to zero
    third = float(np.float64(1) / np.float64(3)).hex()  # rounding mode
    numpy_state = np.random.get_state()[1].tobytes()
    arithmetic = subnormal, third, np.geterr()
    return handlers, locale.setlocale(locale.LC_ALL), dict(os.environ), random.getstate(), numpy_state, arithmetic
"""


def test_import_and_use_change_nothing():
    code = (
        STATE
        + """
before = state()
import dnncore as dnn
assert state() == before, "import"
x = dnn.rand(300, 300).requires_grad_()
dnn.manual_seed(1)
loss = ((x @ x).tanh() / 3).sum()
loss.backward()
dnn.set_num_threads(3)
(dnn.rand(500, 500) @ dnn.rand(500, 500)).exp().mean().item()
assert state() == before, "use"
"""
    )
    assert run(code) == ""


def test_import_does_not_start_threads():
    assert run("import dnncore, os; dnncore.zeros(3); print(len(os.listdir('/proc/self/task')))") == "1\n"


def test_import_leaves_torch_and_friends_alone():
    loaded = run("import sys, dnncore; dnncore.zeros(3); print(*sorted(m for m in sys.modules if '.' not in m))").split()
    assert not {"torch", "sklearn", "scipy", "matplotlib", "pandas"} & set(loaded)


INTERRUPTED = """
import signal, sys, threading, time
import dnncore as dnn
dnn.set_num_threads(int(sys.argv[1]))
a = dnn.rand(300, 300)
before = (a @ a).numpy().tobytes()
x, y = dnn.ones(1 << 13, 1 << 13), dnn.ones(1 << 13, 1 << 14)  # 2.2e12 operations: 10 s where 220 GF/s are reached
print("ready", flush=True)
start = time.perf_counter()
try:
    z = x @ y
except KeyboardInterrupt:
    print("interrupted", time.perf_counter() - start, flush=True)
    assert (a @ a).numpy().tobytes() == before
    print("usable", flush=True)
else:
    print("finished", time.perf_counter() - start, flush=True)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_acts_during_a_long_product(threads):
    """Sent 0.5 s into a product of many seconds; the bound is generous because the machine may be busy."""
    command = [sys.executable, "-c", INTERRUPTED, str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.5)
            sent = time.perf_counter()
            child.send_signal(signal.SIGINT)
            word = child.stdout.readline().split()[0]
            delay = time.perf_counter() - sent
            assert word == "interrupted"
            assert delay < 5
            assert child.stdout.readline() == "usable\n"
            assert child.wait(60) == 0
        finally:
            child.kill()


def test_ctrl_c_never_tears_an_update():
    """Signals arrive all through training; the parameters always equal those of some whole number of steps.

    Python may act on a signal between any two instructions; the script's own handler raises only where the script catches.
    """
    code = """
    import os, signal, threading, time
    import dnncore as dnn
    from dnncore import nn
    dnn.set_num_threads(2)
    parameter = nn.Parameter(dnn.zeros(2_000_000))
    optimizer = dnn.optim.SGD([parameter], lr=1.0)
    parameter.grad = -dnn.ones(2_000_000)
    catching = False
    def interrupt(*_):
        global catching
        if catching:
            catching = False
            raise KeyboardInterrupt
    signal.signal(signal.SIGINT, interrupt)
    stop = threading.Event()
    def annoy():
        while not stop.wait(0.002):
            os.kill(os.getpid(), signal.SIGINT)
    annoyer = threading.Thread(target=annoy, daemon=True)
    annoyer.start()
    caught, end = 0, time.perf_counter() + 60
    while caught < 100 and time.perf_counter() < end:
        try:
            catching = True
            optimizer.step()
            catching = False
        except KeyboardInterrupt:
            caught += 1
    stop.set()
    annoyer.join()
    assert caught == 100, caught
    assert parameter.min().item() == parameter.max().item() > 0
    print("whole")
    """
    assert run(code) == "whole\n"


FORK = """
import os, sys
import dnncore as dnn
dnn.set_num_threads(int(sys.argv[1]))
dnn.manual_seed(0)
x = dnn.rand(400, 500)
def bits():
    return ((x @ x.t()).exp().sum(0) + 1).numpy().tobytes()
expected = bits()
for _ in range(3):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        ok = bits() == expected
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if bits() == expected else 1)
        ok = ok and os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
        os._exit(0 if ok else 1)
    assert bits() == expected
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("same")
"""


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_forked_child_computes_the_same_bits(threads):
    code = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(threads)]
    finished = subprocess.run(code, capture_output=True, text=True, timeout=300)
    assert (finished.returncode, finished.stdout) == (0, "same\n"), finished.stderr


def test_fork_while_another_thread_computes():
    code = """
    import os, threading, warnings
    warnings.simplefilter("ignore")
    import dnncore as dnn
    dnn.set_num_threads(2)
    x = dnn.rand(700, 700)
    expected = (x @ x).numpy().tobytes()
    stop = False
    def work():
        while not stop:
            x @ x
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if (x @ x).numpy().tobytes() == expected else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop = True
    thread.join()
    print("same")
    """
    assert run(code, timeout=300) == "same\n"


def network_bits(seed):
    """A forward and backward pass whose bits depend on the seed alone."""
    random = np.random.default_rng(seed)
    x, w, v = (
        tensor(random.standard_normal(shape, dtype=np.float32)).requires_grad_() for shape in ((90, 120), (300, 120), (10, 300))
    )
    for _ in range(5):
        loss = nn.functional.cross_entropy(_core.linear(_core.linear(x, w, None, "tanh"), v, None), tensor(np.arange(90) % 10))
        loss.backward()
    parts = (loss, x.grad, w.grad, v.grad)
    return hashlib.sha256(b"".join(numbers(part).tobytes() for part in parts)).hexdigest()


def test_several_python_threads_at_once():
    expected = [network_bits(seed) for seed in range(4)]
    found = [[] for _ in range(4)]

    def work(seed):
        for _ in range(10):
            found[seed].append(network_bits(seed))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed in range(4):
        assert found[seed] == [expected[seed]] * 10


def test_the_gil_is_released_in_long_calls():
    x = dnn.rand(1500, 1500)
    ticks, done = 0, threading.Event()

    def compute():
        for _ in range(5):
            x @ x
        done.set()

    worker = threading.Thread(target=compute)
    worker.start()
    while not done.is_set():
        ticks += 1
        time.sleep(0)
    worker.join()
    assert ticks > 100


def training_step(model, optimizer, x, target):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    optimizer.step()
    return loss.item()


def test_running_out_of_memory_at_every_allocation():
    """Each allocation of a step fails in turn: MemoryError, nothing leaks, the next step gives the same bits."""
    random = np.random.default_rng(0)
    x = tensor(random.standard_normal((64, 200), dtype=np.float32))
    target = tensor(random.integers(0, 10, 64))
    dnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Linear(300, 100), nn.Tanh(), nn.Linear(100, 10))
    optimizer = dnn.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    expected = training_step(model, optimizer, x, target)
    training_step(model, optimizer, x, target)
    gc.collect()
    held = dnn.memory_stats()["allocated_bytes"]
    failures = 0
    for n in range(1, 1000):
        _core._fail_allocation_after(n)
        try:
            training_step(model, optimizer, x, target)
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            _core._fail_allocation_after(0)
        assert training_step(model, optimizer, x, target) == expected, f"after allocation {n} failed"
        assert dnn.memory_stats()["allocated_bytes"] == held, f"allocation {n} leaked"
    assert 10 <= failures < 999


def test_memory_error_names_what_was_asked():
    _core._fail_allocation_after(1)
    try:
        with pytest.raises(MemoryError, match=r"empty: .*\(1000, 1000\)"):
            dnn.empty(1000, 1000)
    finally:
        _core._fail_allocation_after(0)


def test_memory_comes_back():
    gc.collect()
    held = dnn.memory_stats()["allocated_bytes"]
    for _ in range(3):
        x = dnn.rand(500, 500).requires_grad_()
        (x @ x).tanh().sum().backward()
        del x
    assert dnn.memory_stats()["allocated_bytes"] == held


def test_exit_while_a_daemon_thread_computes():
    code = """
    import threading, time
    import dnncore as dnn
    dnn.set_num_threads(2)
    x = dnn.rand(900, 900)
    def work():
        while True:
            x @ x
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.3)
    print("bye")
    """
    assert run(code) == "bye\n"


def test_environment_is_read_once_and_checked():
    code = "import dnncore as dnn; print(dnn.get_num_threads(), dnn.cpu_info()['isa'])"
    environment = {**os.environ, "DNNCORE_NUM_THREADS": "3", "DNNCORE_ISA": "reference"}
    assert run(code, env=environment) == "3 reference\n"
