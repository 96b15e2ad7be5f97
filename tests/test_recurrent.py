"""Recurrent layers: values against NumPy, gradients, lengths, the order of sums, captured steps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import reference_recurrent
from dnncore.autograd import gradcheck, gradgradcheck
from recurrent_cases import IDS, LAYERS, functional, leaves, made, random, run, states

LENGTHS = [4, 0, 7, 1, 7]


@pytest.mark.parametrize("lengths", [None, LENGTHS, [7, 6, 6, 2, 0], [0] * 5], ids=["all", "mixed", "sorted", "none"])
@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_values(name, settings, lengths):
    layer, x = made(name, settings), random(5, 7, 5)
    h0, c0 = states(layer, 5)
    found = run(layer, x, h0, c0, lengths=lengths)
    expected = reference_recurrent.network(layer, x, h0, c0, lengths or [7] * 5)
    for own, other in zip(found, expected, strict=False):
        np.testing.assert_allclose(own.detach().numpy(), other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("lengths", [None, [3, 0, 1]], ids=["all", "mixed"])
@pytest.mark.parametrize(("name", "settings"), LAYERS, ids=IDS)
def test_gradients(name, settings, lengths):
    layer = made(name, settings, (2, 4))
    call = partial(functional, layer, lengths=lengths)
    given = leaves(layer, 3, 3)
    assert gradcheck(call, given)
    assert gradgradcheck(call, given)
