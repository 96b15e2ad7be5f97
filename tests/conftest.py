"""What every test gets: a fixed seed, and a library left as it was found."""

from __future__ import annotations

import os
import signal

import dnncore as dnn
import hypothesis
import pytest

# The same examples in every run of CI; fresh ones on a developer's machine.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# Shells have what they start in the background ignore Ctrl-C, children too: tests of it would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fixed_seed_and_clean_state():
    threads = dnn.get_num_threads()
    dnn.manual_seed(0)
    yield
    dnn.set_num_threads(threads)
    assert dnn.is_grad_enabled(), "the test left gradients switched off"
