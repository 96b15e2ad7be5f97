"""The tape's own promises: where gradients go, hooks, second derivatives, functions in Python, cycles, checks."""

import gc
import threading
import weakref

import dnncore as dnn
import numpy as np
import pytest
from dnncore import nn
from dnncore.autograd import Function, backward, functional, grad, gradcheck, gradgradcheck

F64 = dnn.float64


def leaf(*values, dtype=F64):
    return dnn.tensor(list(values), dtype=dtype, requires_grad=True)


# --- grad and backward ------------------------------------------------------------------------------------------------


def test_grad_returns_and_writes_nothing():
    x, z = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * z
    dx, dy = grad((y * y).sum(), [x, y])
    assert dx.tolist() == [18.0, 64.0]
    assert dy.tolist() == [6.0, 16.0]
    assert x.grad is None
    assert z.grad is None
    assert y.grad is None


def test_grad_of_several_outputs_with_weights():
    x = leaf(1.0, 2.0)
    (dx,) = grad([x * 2, x.sum()], x, [dnn.tensor([1.0, 10.0], dtype=F64), None])
    assert dx.tolist() == [3.0, 21.0]


def test_gradients_share_no_memory():
    x, z, weights = (dnn.ones(3).requires_grad_() for _ in range(3))
    given = weights.detach()
    found = grad(x + z, [x, z, x], given)
    for place in range(3):
        found[place].mul_(place + 2.0)
    assert [each.tolist() for each in (*found, given)] == [[2.0] * 3, [3.0] * 3, [4.0] * 3, [1.0] * 3]


def test_grad_walks_only_what_leads_to_the_inputs():
    ran = []
    x, z = leaf(1.0), leaf(2.0)
    other = z * 3
    other.register_hook(lambda g: ran.append(g))
    (dx,) = grad((x * other).sum(), x)
    assert dx.tolist() == [6.0]
    assert not ran


def test_unused_inputs():
    x, z = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match=r"inputs\[1\] of shape \(1,\).*allow_unused"):
        grad((x * x).sum(), [x, z])
    assert grad((x * x).sum(), [x, z], allow_unused=True)[1] is None
    assert grad((x * x).sum(), [x, z], materialize_grads=True)[1].tolist() == [0.0]
    with pytest.raises(RuntimeError, match=r"inputs\[0\].*does not require grad"):
        grad((x * x).sum(), x.detach())
    with pytest.raises(ValueError, match="materialize_grads"):
        grad((x * x).sum(), x, allow_unused=False, materialize_grads=True)


def test_an_input_is_an_output():
    x = leaf(2.0)
    y = x * 3
    assert [g.tolist() for g in grad(y, [y, x])] == [[1.0], [3.0]]
    assert grad(x, x)[0].tolist() == [1.0]


def test_grad_frees_the_graph_unless_told():
    x = leaf(2.0)
    y = (x * x).sum()
    grad(y, x, retain_graph=True)
    grad(y, x)
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        grad(y, x)


def test_backward_into_chosen_inputs():
    x, z = leaf(1.0), leaf(2.0)
    y = x * z
    (y * y).sum().backward(inputs=[x, y])
    assert x.grad.tolist() == [8.0]
    assert y.grad.tolist() == [4.0]
    assert z.grad is None
    backward((x * z).sum(), inputs=z)
    assert z.grad.tolist() == [1.0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        (x * z).sum().backward(inputs=[dnn.ones(1)])


def test_arguments_of_wrong_kinds():
    x = leaf(1.0)
    with pytest.raises(TypeError, match="expected tensors in outputs, got float"):
        grad([1.0], x)
    with pytest.raises(TypeError, match="expected tensors or None in grad_outputs"):
        grad(x, x, [1.0])
    with pytest.raises(ValueError, match="at least one tensor in inputs"):
        grad(x, [])
    with pytest.raises(ValueError, match="expected 1 gradients, got 2"):
        backward([x], [x, x])


# --- Hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_see_the_whole_gradient_once_and_may_change_it():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    handle = y.register_hook(lambda g: g * 10)
    (y.sum() + (y * y).sum()).backward()
    assert seen == [[5.0, 9.0]]
    assert x.grad.tolist() == [100.0, 180.0]
    handle.remove()
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_hook_on_a_leaf_serves_every_pass():
    x = leaf(1.0)
    with x.register_hook(lambda g: -g):
        for _ in range(2):
            (x * 3).sum().backward()
    assert x.grad.tolist() == [-6.0]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [-3.0]


def test_a_hook_may_remove_itself():
    x = leaf(1.0)
    handles = []
    handles.append(x.register_hook(lambda g: handles[0].remove()))
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_wrong_answers_of_hooks():
    x = leaf(1.0, 2.0)
    for answer, error, words in (
        (dnn.ones(3, dtype=F64), ValueError, r"expected a gradient of shape \(2,\), got \(3,\)"),
        (dnn.ones(2), TypeError, "expected a gradient of dtype"),
        (1.0, TypeError, "expected a Tensor or None, got float"),
    ):
        with x.register_hook(lambda g, answer=answer: answer), pytest.raises(error, match=words):
            (x * 2).sum().backward()
    with x.register_hook(lambda g: 1 / 0), pytest.raises(ZeroDivisionError):
        (x * 2).sum().backward()
    assert x.grad is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        dnn.ones(2).register_hook(lambda g: g)


def test_retain_grad():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0, 24.0]
    assert x.grad.tolist() == [24.0, 48.0]
    gone = x * 2
    gone.retain_grad()
    z = gone.sum()
    del gone
    z.backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        dnn.ones(1).retain_grad()


def test_detached_tensors_forget_their_hooks():
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    y.retain_grad()
    z = (y * 1).sum()
    y.detach_()
    z.backward()
    assert y.grad is None
    assert not y.retains_grad


# --- Second derivatives -----------------------------------------------------------------------------------------------

A = np.random.default_rng(0).uniform(0.3, 1.4, (3, 4))
TWICE = {
    "add sub": lambda x: (x + x.sum(0)) - x.T.sum(),
    "mul div": lambda x: x * x / (1 + x[0]),
    "pow": lambda x: x**3 + 2**x,
    "power of tensors": lambda x: x ** x.mean(),
    "exp log": lambda x: (x.exp() + 1).log() * x.log1p() + x.expm1(),
    "sqrt": lambda x: x.sqrt() + x.rsqrt() + x.reciprocal(),
    "sin cos": lambda x: x.sin() * x.cos(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "gelu": lambda x: x.gelu(),
    "erf softplus": lambda x: x.erf() + dnn.softplus(x),
    "relu": lambda x: (x - 0.8).relu() ** 2,
    "maximum": lambda x: dnn.maximum(x, 1 - x) ** 2,
    "where": lambda x: dnn.where(x > 0.8, x**3, x**2),
    "sum mean": lambda x: x.sum(0) * x.mean(0),
    "prod": lambda x: x.prod(1),
    "max": lambda x: x.max() ** 2 * x.min(),
    "var std": lambda x: x.var(1) * x.std(1),
    "slices": lambda x: x[1:, ::2] * x[0, 1] ** 2,
    "index": lambda x: x[[0, 2, 0]] * x[dnn.tensor([1, 1, 0])] ** 2,
    "views": lambda x: x.reshape(2, 6).t().unsqueeze(0).expand(2, 6, 2) ** 2 * x[0, 0],
    "cat flip": lambda x: dnn.cat([x, x.flip(0)]) ** 2,
    "cast": lambda x: x.to(F64) ** 2,
    "matmul": lambda x: x @ x.T @ x,
    "batched matmul": lambda x: (x.unsqueeze(0).expand(2, 3, 4) @ x.T) ** 2,
    "linear": lambda x: dnn.nn.functional.linear(x, x**2, x[:, 0]),
}


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives(name):
    assert gradcheck(TWICE[name], A)
    assert gradgradcheck(TWICE[name], A)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU])
def test_second_derivatives_of_a_fused_network(activation):
    dnn.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5, dtype=F64), activation(), nn.Linear(5, 2, dtype=F64))
    assert gradgradcheck(model, dnn.tensor(A))


def test_third_derivatives():
    x = leaf(0.7)
    y = (x**5).sum()
    for expected in (5 * 0.7**4, 20 * 0.7**3, 60 * 0.7**2):
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected, rel=1e-12)


def test_create_graph_with_backward():
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    penalty = (x.grad**2).sum()
    x.grad = None
    penalty.backward()
    assert x.grad.tolist() == [2 * 27 * 18.0]
    assert not x.grad.requires_grad


def test_gradient_penalty_of_a_network_has_gradients():
    model = nn.Sequential(nn.Linear(4, 8, dtype=F64), nn.Tanh(), nn.Linear(8, 1, dtype=F64))

    def penalty(x):
        (slope,) = grad(model(x).sum(), x, create_graph=True)
        return ((slope**2).sum(1).sqrt() - 1) ** 2

    assert gradcheck(penalty, dnn.tensor(A))


# --- Whole functions --------------------------------------------------------------------------------------------------


def test_jacobian_and_hessian():
    x = dnn.tensor([1.0, 2.0, 3.0], dtype=F64)
    jacobian = functional.jacobian(lambda x: dnn.stack([x.prod(), (x * x).sum()]), x)
    assert jacobian.tolist() == [[6.0, 3.0, 2.0], [2.0, 4.0, 6.0]]
    a, b = functional.jacobian(lambda x, z: x * z.sum(), (x, dnn.ones(2, dtype=F64)))
    assert a.tolist() == (2 * np.eye(3)).tolist()
    assert b.shape == (3, 2)
    assert functional.hessian(lambda x: x.prod(), x).tolist() == [[0, 3, 2], [3, 0, 1], [2, 1, 0]]
    assert functional.hessian(lambda x: x.sum(), x).tolist() == np.zeros((3, 3)).tolist()
    _, product = functional.hvp(lambda x: x.prod(), x, dnn.ones(3, dtype=F64))
    assert product.tolist() == [5.0, 4.0, 3.0]
    value, product = functional.vjp(lambda x: x * x, x, x)
    assert value.tolist() == [1.0, 4.0, 9.0]
    assert product.tolist() == [2.0, 8.0, 18.0]
    with pytest.raises(ValueError, match="one value"):
        functional.hessian(lambda x: x, x)


# --- Functions in Python ----------------------------------------------------------------------------------------------


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class SumAndProduct(Function):
    @staticmethod
    def forward(ctx, x, z, scale):
        ctx.scale = scale
        ctx.save_for_backward(x, z)
        return x + z, scale * x * z

    @staticmethod
    def backward(ctx, g, h):
        x, z = ctx.saved_tensors
        return g + h * z * ctx.scale, g + h * x * ctx.scale if ctx.needs_input_grad[1] else None, None


def test_function_with_saved_output_twice():
    assert gradcheck(Exp.apply, A)
    assert gradgradcheck(Exp.apply, A)


def test_function_of_several_inputs_and_outputs():
    assert gradcheck(lambda x, z: SumAndProduct.apply(x, z, 2.5), (A, A[::-1].copy()))
    x, z = leaf(2.0), dnn.tensor([3.0], dtype=F64)
    y, w = SumAndProduct.apply(x, z, 2.0)
    w.sum().backward()  # the other output's gradient arrives as zeros
    assert x.grad.tolist() == [6.0]
    assert y.grad_fn == w.grad_fn
    assert y.grad_fn.name() == "SumAndProductBackward"


def test_function_with_setup_context():
    class Square(Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    assert gradcheck(Square.apply, A)


def test_function_without_gradient_is_plain():
    x = dnn.ones(2, dtype=F64)
    assert not Exp.apply(x).requires_grad
    with dnn.no_grad():
        assert not Exp.apply(leaf(1.0)).requires_grad


def test_identity_function_does_not_touch_its_input():
    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 3 * g

    x = leaf(1.0)
    y = Scaled.apply(x)
    assert y is not x
    assert x.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [3.0]


def test_outputs_without_gradient_and_undefined_gradients():
    class Sign(Function):
        @staticmethod
        def forward(ctx, x):
            place = x.argmax()
            y = x.sign()
            ctx.mark_non_differentiable(y)
            ctx.set_materialize_grads(False)
            return x * 2, y, place

        @staticmethod
        def backward(ctx, g, h, i):
            assert h is None
            assert i is None
            return g * 2

    x = leaf(1.0, 5.0)
    y, sign, place = Sign.apply(x)
    assert not sign.requires_grad
    assert place.item() == 1
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_mistakes_in_functions():
    def made(answer):
        class Wrong(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return answer(ctx, g)

        return Wrong

    x = leaf(1.0, 2.0)
    for answer, error, words in (
        (
            lambda ctx, g: g.sum(),
            RuntimeError,
            r"Wrong: backward\(\) returned a gradient of shape \(\) for input 0 of shape \(2,\)",
        ),
        (lambda ctx, g: (g, g), RuntimeError, "return 1 gradients, got 2"),
        (lambda ctx, g: 3.0, TypeError, "expected a Tensor or None, got float"),
        (lambda ctx, g: 1 / 0, ZeroDivisionError, "division"),
    ):
        with pytest.raises(error, match=words):
            made(answer).apply(x).sum().backward()
    with pytest.raises(TypeError, match="expected tensors or None, got int"):
        dnn.autograd.FunctionCtx().save_for_backward(3)
    with pytest.raises(RuntimeError, match="while backward"):
        _ = dnn.autograd.FunctionCtx().saved_tensors


def test_saved_tensor_changed_in_place():
    x = dnn.ones(2, dtype=F64)
    w = leaf(1.0, 2.0)
    y, z = SumAndProduct.apply(w, x, 1.0)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"SumAndProduct.*changed in place"):
        (y + z).sum().backward()


# --- Life -------------------------------------------------------------------------------------------------------------


def collected(make):
    references = make()
    for _ in range(3):
        gc.collect()
    return [reference() is None for reference in references]


def test_cycles_through_hooks_are_collected():
    def make():
        x = leaf(1.0)
        x.register_hook(lambda g: x)
        y = x * 2
        y.register_hook(lambda g: y)
        return weakref.ref(x), weakref.ref(y)

    assert collected(make) == [True, True]


def test_cycles_through_functions_are_collected():
    class Keeps(Function):
        @staticmethod
        def forward(ctx, x, box):
            ctx.box = box
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g, None

    def make():
        box = []
        y = Keeps.apply(leaf(1.0), box)
        z = y * 2 + 1
        box.append(z)
        return weakref.ref(y), weakref.ref(z)

    assert collected(make) == [True, True]


def test_what_a_graph_still_needs_is_not_collected():
    x = leaf(1.0)
    y = x * 2
    seen = []
    y.register_hook(lambda g, seen=seen: seen.append((g.item(), y is not None)))
    z = (y * 3).sum()
    for _ in range(3):
        gc.collect()
    z.backward()
    assert seen == [(3.0, True)]


def test_saved_outputs_make_no_cycle():
    gc.collect()
    gc.disable()
    try:
        reference = weakref.ref(Exp.apply(leaf(1.0)))
        assert reference() is None
    finally:
        gc.enable()


def test_two_threads_differentiate_at_once():
    found = {}

    def work(number):
        x = leaf(*np.linspace(0.1, 1, 50))
        for _ in range(50):
            (g,) = grad(Exp.apply(x * number).sum(), x)
        found[number] = g.numpy()

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, g in found.items():
        np.testing.assert_allclose(g, number * np.exp(number * np.linspace(0.1, 1, 50)), rtol=1e-12)


def test_a_hook_may_add_hooks_to_other_outputs():
    class Multiples(Function):
        @staticmethod
        def forward(ctx, x):
            return tuple(x * i for i in range(1, 7))

        @staticmethod
        def backward(ctx, *gs):
            return sum(gs)

    x = leaf(1.0, 2.0)
    ys = Multiples.apply(x)
    ys[0].register_hook(lambda g: [y.register_hook(lambda q: None) for y in ys[4:]] and None)
    for y in ys[1:4]:
        y.register_hook(lambda g: None)
    sum(y.sum() for y in ys).backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_functions_that_save_nothing_may_be_walked_again():
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0)
    y = Twice.apply(x)
    y.sum().backward()
    y.sum().backward()
    assert x.grad.tolist() == [4.0]
    z = Exp.apply(x)
    z.sum().backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        z.sum().backward()


@pytest.mark.parametrize("product", [lambda x: x.prod(), lambda x: x.cumprod(0).sum()])
def test_second_derivatives_of_products_with_zeros_are_refused(product):
    x = leaf(2.0, 0.0, 5.0)
    assert grad(product(x), x)[0].tolist() in ([0.0, 10.0, 0.0], [1.0, 12.0, 0.0])
    with pytest.raises(RuntimeError, match="factor is 0"):
        grad(product(x), x, create_graph=True)
