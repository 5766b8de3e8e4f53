"""Images that are shifted, turned, mirrored or cut stay images, and nothing else is done."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.augmentation.distortion import distort, resized_crop, shift_and_mirror

key = jax.random.key


def test_distortion():
    images = jax.random.normal(key(5), (40, 8, 8, 1))
    run = jax.jit(distort, static_argnames=("shift", "degrees"))
    still = run(key(0), images, shift=0.0, degrees=0.0)
    np.testing.assert_allclose(still, images, atol=1e-5)
    # A slope of one grey level a pixel shifts by as much as its grey levels change.
    slope = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (30, 8, 8, 1))
    moved = np.asarray(run(key(1), slope, shift=1.5, degrees=0.0) - slope)[:, 2:-2]
    np.testing.assert_allclose(np.ptp(moved, axis=(1, 2)), 0, atol=1e-4)
    assert 1.0 < np.abs(moved).max() <= 1.5
    # Rotated about the middle: a round image stays, and the slope tilts as the angle says.
    turned = np.asarray(run(key(2), slope, shift=0.0, degrees=20.0))
    tilt = (turned[:, 3, 4] - turned[:, 3, 3])[:, 0]
    rise = (turned[:, 4, 3] - turned[:, 3, 3])[:, 0]
    np.testing.assert_allclose(tilt**2 + rise**2, 1, atol=1e-3)
    assert 10 < np.degrees(np.arctan2(np.abs(tilt), rise)).max() <= 20


def test_augmentation_shifts_and_mirrors_and_does_nothing_else():
    images = jax.random.randint(key(0), (64, 5, 6, 2), 0, 256).astype(jnp.uint8)
    found = np.asarray(jax.jit(functools.partial(shift_and_mirror, pad=2))(key(1), images))
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=127)
    seen = set()
    for image, source in zip(found, padded, strict=True):
        crops = {(i, j, 1): source[i : i + 5, j : j + 6] for i in range(5) for j in range(5)}
        crops |= {(i, j, -1): crop[:, ::-1] for (i, j, _), crop in crops.items()}
        [kind] = [kind for kind, crop in crops.items() if (crop == image).all()]
        seen.add(kind)
    assert {kind[0] for kind in seen} == {kind[1] for kind in seen} == set(range(5))
    assert {kind[2] for kind in seen} == {1, -1}
    assert len(seen) > 30  # each image in a way of its own


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_parts_of_images_at_full_size(dtype):
    """A ramp stays a ramp, within its bounds; half are mirrored; constants stay."""
    ramp = np.repeat(np.linspace(0, 255, 16)[None, :, None, None], 12, 2).astype(dtype)
    images = jnp.asarray(np.repeat(ramp, 64, 0))
    made = np.asarray(resized_crop(key(0), images), float)
    assert made.shape == images.shape
    rise = np.diff(made[..., 0], axis=1)
    assert (rise >= -1e-3).all()  # rows are not turned
    assert made.min() >= 0
    assert made.max() <= 255
    assert np.ptp(made[:, -1, 0, 0] - made[:, 0, 0, 0]) > 10  # parts differ
    turned = np.swapaxes(np.asarray(images), 1, 2)
    slopes = np.asarray(resized_crop(key(1), jnp.asarray(turned)), float)
    down = (slopes[:, 0, -1, 0] < slopes[:, 0, 0, 0]).mean()
    assert 0.25 < down < 0.75
    flat = jnp.full((3, 8, 8, 1), 7, dtype)
    np.testing.assert_allclose(resized_crop(key(2), flat), flat, rtol=1e-5)
