"""What every test gets: a fixed seed, and a library left as it was found."""

from __future__ import annotations

import contextlib
import os
import signal

import dnncore as dnn
import hypothesis
import pytest
from cases import use_device

# The same examples in every run of CI, fresh ones on a developer's machine; how long one takes is not judged.
hypothesis.settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("here")

# Shells have what they start in the background ignore Ctrl-C, children too: tests of it would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)


# DNNCORE_TEST_DEVICE=cuda runs the tests with every tensor on that device.
@pytest.fixture(autouse=True, scope="session")
def tests_device():
    device = os.environ.get("DNNCORE_TEST_DEVICE", "cpu")
    with use_device(device) if device != "cpu" else contextlib.nullcontext():
        yield


@pytest.fixture(autouse=True)
def fixed_seed_and_clean_state():
    threads = dnn.get_num_threads()
    dnn.manual_seed(0)
    yield
    dnn.set_num_threads(threads)
    assert dnn.is_grad_enabled(), "the test left gradients switched off"
