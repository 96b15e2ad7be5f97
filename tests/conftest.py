"""What every test gets: a fixed seed, and a library left as it was found."""

from __future__ import annotations

import dnncore as dnn
import pytest


@pytest.fixture(autouse=True)
def fixed_seed_and_clean_state():
    threads = dnn.get_num_threads()
    dnn.manual_seed(0)
    yield
    dnn.set_num_threads(threads)
    assert dnn.is_grad_enabled(), "the test left gradients switched off"
