"""One convolution for every platform: native where that is fast, a matrix product where it is not.

    y[b, p, o] = sum_{t, i} x[b, stride * p + t - low, i] kernel[t, i, o]

p is a position of the output, t a tap of the window, both with as many coordinates as there are
axes of space; low is the padding in front, and x is zero outside. As everywhere in deep learning,
the kernel is not flipped.

On GPUs and TPUs this is one instruction of XLA. On CPUs that instruction is fast only at the top
level of a program: inside `lax.scan`, or under `vmap` over kernels, it is 10 to 50 times slower
than gathering the windows of x in one matrix and multiplying it with the kernel ("im2col"). So
`conv` is lowered by platform, gradients included (of stride 1 only by reverse mode): when a program
is compiled, not when it is traced. `python -m experiments.benchmarks.convolution` measures both.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Stride = int | Sequence[int]
Padding = str | Sequence[tuple[int, int]]


def conv(
    x: Float[Array, "batch *space in"],
    kernel: Float[Array, "*window _ out"],
    stride: Stride = 1,
    padding: Padding = "SAME",
) -> Float[Array, "batch *position out"]:
    """Convolves over every axis between the first and the last.

    Args:
      x: text `[batch, width, in]`, images `[batch, height, width, in]`, or any other rank.
      kernel: `[k, in, out]`, `[kh, kw, in, out]`, ...: one axis of the window per axis of space.
      stride: how far the window moves, once for all axes or one number per axis.
      padding: "SAME" (ceil(size / stride) positions), "VALID" (none), or a pair (low, high) per
        axis.

    Returns:
      `[batch, *position, out]`.

    Raises:
      ValueError: the arguments do not fit each other, seen when the function is traced.
    """
    native = functools.partial(conv_native, stride=stride, padding=padding)
    matmul = functools.partial(conv_matmul, stride=stride, padding=padding)
    return lax.platform_dependent(x, kernel, cpu=matmul, default=native)


def conv_native(
    x: Float[Array, "batch *space in"],
    kernel: Float[Array, "*window _ out"],
    stride: Stride = 1,
    padding: Padding = "SAME",
) -> Float[Array, "batch *position out"]:
    """`conv` as XLA's own convolution, on any platform."""
    strides, pads = _geometry(x, kernel, stride, padding)
    space = "".join(map(str, range(len(strides))))
    layout = (f"N{space}C", f"{space}IO", f"N{space}C")
    return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=layout)


def conv_matmul(
    x: Float[Array, "batch *space in"],
    kernel: Float[Array, "*window _ out"],
    stride: Stride = 1,
    padding: Padding = "SAME",
) -> Float[Array, "batch *position out"]:
    """`conv` as matrix products, on any platform.

    With stride 1 that is one for itself and one for each gradient. Of what is convolved and what
    comes of it, only the one of fewer channels is spread to its windows, which are memory: x, as
    above, or y, whose taps are added up where they fall.
    """
    strides, pads = _geometry(x, kernel, stride, padding)
    if set(strides) == {1}:
        return _unit(tuple(pads), x, kernel)
    windows = _windows(x, kernel.shape[:-2], strides, pads)
    return windows @ kernel.reshape(-1, kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _unit(pads, x, kernel):
    """`conv_matmul` of stride 1."""
    window, (fan, out) = kernel.shape[:-2], kernel.shape[-2:]
    if fan <= out:
        return _windows(x, window, (1,) * len(window), pads) @ kernel.reshape(-1, out)
    taps = _padded(x @ jnp.moveaxis(kernel, -2, 0).reshape(fan, -1), pads)
    for axis, count in enumerate(window):
        size = taps.shape[axis + 1] - count + 1
        parts = enumerate(jnp.split(taps, count, axis=-1))
        parts = [lax.slice_in_dim(part, tap, tap + size, axis=axis + 1) for tap, part in parts]
        taps = functools.reduce(jnp.add, parts)
    return taps


def _unit_forward(pads, x, kernel):
    return _unit(pads, x, kernel), (x, kernel)


def _unit_backward(pads, given, slope):
    """<slope, conv(x, kernel)> by x, the adjoint, and by the kernel: windows, narrow side."""
    x, kernel = given
    window, (fan, out) = kernel.shape[:-2], kernel.shape[-2:]
    ones, around = (1,) * len(window), _around(kernel, pads)
    by_x = _unit(around, slope, _flipped(kernel))
    rows = lambda a: a.reshape(-1, a.shape[-1])
    if fan <= out:
        by_kernel = rows(_windows(x, window, ones, pads)).T @ rows(slope)
        return by_x, by_kernel.reshape(kernel.shape)
    by_kernel = rows(_windows(slope, window, ones, around)).T @ rows(x)
    return by_x, _flipped(by_kernel.reshape(*window, out, fan))


_unit.defvjp(_unit_forward, _unit_backward)


def conv_adjoint(
    u: Float[Array, "batch *position out"],
    kernel: Float[Array, "*window _ out"],
    padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch *space in"]:
    """The adjoint of a convolution of stride 1, which is another: <conv(x), u> = <x, adjoint(u)>.

    Args:
      u: of the shape of the convolution's output.
      kernel: as given to `conv`.
      padding: as given to `conv`, a pair (low, high) per axis.
    """
    return conv(u, _flipped(kernel), 1, _around(kernel, padding))


def conv_embedded(
    symbols: Int[Array, "batch width"],
    table: Float[Array, "symbol in"],
    kernel: Float[Array, "window _ out"],
) -> Float[Array, "batch width out"]:
    """Convolves embedded symbols: `conv(table[symbols], kernel)`, where row 0 counts as zero.

    On CPUs the kernel is applied to the table, once, and the few rows that a window wants are
    added up: there are fewer symbols than places where they stand. For letters that is three to
    four times as fast as the product with all windows, gradients included.
    """
    return lax.platform_dependent(
        symbols, table, kernel, cpu=conv_embedded_rows, default=conv_embedded_native
    )


def conv_embedded_native(
    symbols: Int[Array, "batch width"],
    table: Float[Array, "symbol in"],
    kernel: Float[Array, "window _ out"],
) -> Float[Array, "batch width out"]:
    """`conv_embedded` as XLA's own convolution, on any platform."""
    return conv_native(table.at[0].set(0)[symbols], kernel)


def conv_embedded_rows(
    symbols: Int[Array, "batch width"],
    table: Float[Array, "symbol in"],
    kernel: Float[Array, "window _ out"],
) -> Float[Array, "batch width out"]:
    """`conv_embedded` as a sum of rows, on any platform."""
    taps, width = len(kernel), symbols.shape[1]
    rows = table.at[0].set(0)[None] @ kernel  # [tap, symbol, out]
    padded = jnp.pad(symbols, ((0, 0), ((taps - 1) // 2, taps // 2)))
    return sum((rows[t][padded[:, t : t + width]] for t in range(taps)), jnp.zeros(()))


def _windows(x, window, strides, pads):
    """What the windows see, `[batch, *position, tap * in]`."""
    x = _padded(x, pads)
    # One axis at a time, the last one first, so that the channels end up as (*window, in), like the
    # kernel. For 3 x 3 taps that is 3 + 3 slices instead of 9: as fast, and sooner compiled.
    for axis in reversed(range(len(window))):
        count, step = window[axis], strides[axis]
        last = x.shape[axis + 1] - count + 1
        cut = [lax.slice_in_dim(x, tap, tap + last, step, axis=axis + 1) for tap in range(count)]
        x = jnp.concatenate(cut, axis=-1)
    return x


def _padded(x, pads):
    edges = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _flipped(kernel):
    """The kernel of the adjoint."""
    return jnp.flip(kernel, range(kernel.ndim - 2)).swapaxes(-1, -2)


def _around(kernel, pads):
    """The padding of the adjoint."""
    sides = zip(kernel.shape, pads, strict=False)
    return tuple((taps - 1 - low, taps - 1 - high) for taps, (low, high) in sides)


def _geometry(x, kernel, stride, padding):
    """Checks the arguments; per axis of space the stride and the padding."""
    space, window = x.shape[1:-1], kernel.shape[:-2]
    if x.ndim < 3 or kernel.ndim != x.ndim:
        raise ValueError(
            f"conv wants x [batch, *space, in] and kernel [*window, in, out] with as many axes of "
            f"window as of space, got {x.shape} and {kernel.shape}"
        )
    if x.shape[-1] != kernel.shape[-2]:
        raise ValueError(f"x has {x.shape[-1]} channels but the kernel takes {kernel.shape[-2]}")
    strides = (stride,) * len(space) if isinstance(stride, int) else tuple(stride)
    if len(strides) != len(space) or min(strides) < 1:
        raise ValueError(f"stride {stride} is not a positive number, or {len(space)} of them")
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(f'padding {padding!r} is neither "SAME", "VALID" nor pairs of numbers')
        padding = lax.padtype_to_pads(space, window, strides, padding)
    if len(padding) != len(space):
        raise ValueError(f"padding {padding} is not one pair (low, high) for each of {space}")
    padded = [size + low + high for size, (low, high) in zip(space, padding, strict=True)]
    if any(size < taps for size, taps in zip(padded, window, strict=True)):
        raise ValueError(f"the window {window} is larger than the padded space {tuple(padded)}")
    return strides, tuple(padding)
