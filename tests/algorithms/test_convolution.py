"""The matrix-product form equals the native one everywhere, and each platform gets its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from trinity_jax.algorithms.convolution import (
    conv,
    conv_embedded,
    conv_embedded_native,
    conv_embedded_rows,
    conv_matmul,
    conv_native,
)

ONE = ((1, 1), (1, 1))
CASES = {  # x, kernel, stride, padding
    "image": ((2, 8, 8, 3), (3, 3, 3, 4), 1, "SAME"),
    "image, odd size": ((2, 7, 9, 3), (3, 3, 3, 4), 1, "SAME"),
    "networks' 3x3": ((2, 8, 8, 3), (3, 3, 3, 4), 1, ONE),
    "networks' 3x3, half": ((2, 8, 8, 3), (3, 3, 3, 4), 2, ONE),
    "networks' 3x3, half of odd": ((2, 7, 5, 3), (3, 3, 3, 4), 2, ONE),
    "networks' 1x1": ((2, 8, 8, 3), (1, 1, 3, 4), 1, ((0, 0), (0, 0))),
    "networks' 1x1, half": ((2, 8, 8, 3), (1, 1, 3, 4), 2, ((0, 0), (0, 0))),
    "even window": ((2, 8, 8, 3), (4, 4, 3, 2), 2, "SAME"),
    "oblong window, stride by axis": ((2, 9, 8, 3), (1, 5, 3, 2), (3, 2), "SAME"),
    "nothing around": ((2, 9, 8, 3), (5, 3, 3, 2), 1, "VALID"),
    "stride above the window": ((2, 9, 8, 3), (2, 2, 3, 2), 3, "VALID"),
    "stride above the image": ((2, 4, 4, 3), (3, 3, 3, 2), 5, "SAME"),
    "uneven and negative padding": ((2, 6, 6, 3), (3, 3, 3, 2), 2, ((0, 3), (2, -1))),
    "window as large as the image": ((2, 4, 4, 3), (4, 4, 3, 2), 1, "VALID"),
    "text": ((2, 11, 5), (3, 5, 4), 1, "SAME"),
    "text, wide window": ((2, 6, 5), (5, 5, 4), 1, ((2, 2),)),
    "text, stride": ((2, 11, 5), (2, 5, 4), 3, "VALID"),
    "text, stride in a tuple": ((2, 11, 5), (3, 5, 4), (2,), "SAME"),
    "volume": ((1, 4, 5, 6, 2), (3, 2, 1, 2, 3), (1, 2, 1), "SAME"),
}


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def value_and_gradients(form, x, kernel):
    """The output, and the gradients of its sum weighted by `cos(0), cos(1), ...`."""
    y, pull = jax.vjp(form, x, kernel)
    return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


def assert_same(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), left, right)


@jax.jit(static_argnames=("stride", "padding"))
def all_forms(x, kernel, stride, padding):
    forms = (
        functools.partial(f, stride=stride, padding=padding)
        for f in (conv, conv_matmul, conv_native)
    )
    return [value_and_gradients(form, x, kernel) for form in forms]


@pytest.mark.parametrize("case", CASES)
def test_equals_the_native_convolution(case):
    *shapes, stride, padding = CASES[case]
    shipped, matmul, native = all_forms(*normal(0, *shapes), stride, padding)
    assert_same(shipped, native)
    assert_same(matmul, native)


@st.composite
def problems(draw):
    rank, size = draw(st.integers(1, 2)), st.integers(1, 7)
    space, window, stride = (tuple(draw(size) for _ in range(rank)) for _ in range(3))
    pair = lambda n, k: (max(0, k - n), draw(st.integers(0, 3)))
    pairs = tuple(map(pair, space, window))
    batch, channels, out = (draw(st.integers(1, 3)) for _ in range(3))
    return (batch, *space, channels), (*window, channels, out), stride, pairs


def oracle(x, kernel, stride, padding):
    """The formula as loops over positions, in double precision."""
    x = np.pad(x.astype(float), ((0, 0), *padding, (0, 0)))
    window = kernel.shape[:-2]
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], window, stride, strict=True)]
    y = np.empty((len(x), *sizes, kernel.shape[-1]))
    for p in np.ndindex(*sizes):
        at = tuple(slice(s * i, s * i + k) for s, i, k in zip(stride, p, window, strict=True))
        y[:, *p] = x[:, *at].reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
    return y


@settings(max_examples=20, deadline=None)
@given(problems())
def test_equals_loops_on_any_shape(problem):
    """A convolution is linear in x and in the kernel, so slopes in any direction say all."""
    *shapes, stride, padding = problem
    (x, kernel), (dx, dkernel) = normal(0, *shapes), normal(1, *shapes)
    form = functools.partial(conv, stride=stride, padding=padding)
    y, x_gradient, kernel_gradient = jax.jit(functools.partial(value_and_gradients, form))(
        x, kernel
    )
    weight = np.cos(np.arange(y.size)).reshape(y.shape)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    close(y, oracle(x, kernel, stride, padding))
    close((x_gradient * dx).sum(), (weight * oracle(dx, kernel, stride, padding)).sum())
    close((kernel_gradient * dkernel).sum(), (weight * oracle(x, dkernel, stride, padding)).sum())


def test_the_formula():
    """A difference of neighbours, zeros outside: the kernel is not flipped."""
    x = jnp.array([1.0, 4.0, 9.0]).reshape(1, 3, 1)
    kernel = jnp.array([-1.0, 0.0, 1.0]).reshape(3, 1, 1)
    np.testing.assert_array_equal(conv(x, kernel).ravel(), [4, 8, -4])


def test_jit_vmap_and_scan():
    """Compiled, batched over kernels and inputs, and in a loop: the same numbers."""
    x, kernels = normal(0, (2, 6, 6, 3), (3, 3, 3, 3, 3))
    one = functools.partial(value_and_gradients, conv)
    native = [all_forms(x, kernel, 1, "SAME")[-1] for kernel in kernels]
    expected = jax.tree.map(lambda *leaves: np.stack(leaves), *native)
    loop = lambda x, kernels: lax.scan(lambda _, k: (None, one(x, k)), None, kernels)[1]
    assert_same(jax.jit(jax.vmap(one, (None, 0)))(x, kernels), expected)
    assert_same(jax.jit(jax.vmap(one))(np.stack([x] * 3), kernels), expected)
    assert_same(jax.jit(loop)(x, kernels), expected)
    assert_same(
        jax.tree.map(lambda leaf: leaf[0], expected), one(*map(jnp.asarray, (x, kernels[0])))
    )


def through_layers(form):
    """A loss whose gradient goes through a scan over layers."""
    layer = lambda x, kernel: (jnp.tanh(form(x, kernel / 5)), None)
    return lambda x, kernels: lax.scan(layer, x, kernels)[0].sum()


def test_gradient_through_scan():
    arguments = normal(0, (2, 6, 6, 3), (3, 3, 3, 3, 3))
    got, native = (
        jax.jit(jax.grad(through_layers(form), (0, 1)))(*arguments) for form in (conv, conv_native)
    )
    assert_same(got, native)


def test_second_derivatives():
    """The adjoint is a convolution too, and may itself be trained through."""
    x, kernel, weight = normal(0, (2, 6, 6, 3), (3, 3, 3, 4), (2, 3, 3, 4))

    def loss(form, kernel):
        render = jax.vjp(lambda x: form(x, kernel / 5, stride=2), x)[1]
        return (render(jnp.asarray(weight))[0] ** 2).sum()

    got, native = (
        jax.jit(jax.grad(functools.partial(loss, form)))(kernel) for form in (conv, conv_native)
    )
    assert_same(got, native)


PROGRAMS = {
    "value": lambda x, kernels: conv(x, kernels[0]),
    "gradients": lambda x, kernels: value_and_gradients(conv, x, kernels[0]),
    "through scan": jax.grad(through_layers(conv), (0, 1)),
    "vmap over kernels": jax.vmap(
        jax.grad(lambda x, kernel: (conv(x, kernel, 2) ** 2).sum(), (0, 1)), (None, 0)
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_lowered_by_platform(program):
    """No device needed: the programs for other platforms are written here and read."""
    x, kernels = normal(0, (2, 6, 6, 3), (3, 3, 3, 3, 3))

    def operations(platform):
        exported = jax.export.export(jax.jit(PROGRAMS[program]), platforms=[platform])(x, kernels)
        module = exported.mlir_module()
        return module.count("stablehlo.convolution"), module.count("stablehlo.dot_general")

    convolutions = 1 if program == "value" else 3  # one forwards, two backwards
    assert operations("cpu") == (0, convolutions)
    for platform in ("cuda", "rocm", "tpu"):
        assert operations(platform) == (convolutions, 0)


@pytest.mark.parametrize("window", [2, 5])
def test_embedded_symbols(window):
    """Every form is the convolution of the embedding, in which padding is 0; by platform."""
    table, kernel = normal(0, (7, 4), (window, 4, 3))
    symbols = jnp.asarray(np.random.default_rng(1).integers(0, 7, (6, 5)))
    plain = lambda table, kernel: conv_native(table.at[0].set(0)[symbols], kernel)
    expected = jax.jit(functools.partial(value_and_gradients, plain))(table, kernel)
    for form in (conv_embedded, conv_embedded_native, conv_embedded_rows):
        of_symbols = functools.partial(value_and_gradients, functools.partial(form, symbols))
        assert_same(jax.jit(of_symbols)(table, kernel), expected)
    text = lambda platform: (
        jax.export.export(jax.jit(conv_embedded), platforms=[platform])(symbols, table, kernel)
    ).mlir_module()
    counts = [text(platform).count("stablehlo.convolution") for platform in ("cpu", "cuda", "tpu")]
    assert counts == [0, 1, 1]


@pytest.mark.parametrize(
    ("x", "kernel", "how", "message"),
    [
        ((2, 8, 8, 3), (3, 3, 4), {}, "as many axes of window as of space"),
        ((2, 3), (3, 4), {}, "as many axes of window as of space"),
        ((2, 8, 8, 3), (3, 3, 2, 4), {}, "x has 3 channels but the kernel takes 2"),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"stride": 0}, "stride 0"),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"stride": (1,)}, r"stride \(1,\)"),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"padding": "FULL"}, "'FULL' is neither"),
        ((2, 8, 8, 3), (3, 3, 3, 4), {"padding": ((1, 1),)}, "one pair"),
        ((2, 8, 8, 3), (9, 3, 3, 4), {"padding": "VALID"}, r"window \(9, 3\) is larger"),
    ],
)
def test_shapes_that_do_not_fit(x, kernel, how, message):
    for form in (conv, conv_native, conv_matmul):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functools.partial(form, **how), *normal(0, x, kernel))
