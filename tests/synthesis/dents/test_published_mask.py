"""The published masks against plain loops over windows, written from the recipe's words alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis.dents.published_mask import MaskRecipe, mask_steps, mask_variants

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

STEPS = ["centred", "smoothed", "normalised", "thresholded", "blurred"]


def mirrored(i: int, n: int) -> int:
    """The pixel that stands at place i of a row of n with mirrors at its outer edges."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


def place(i: int, n: int, border: str) -> int | None:
    if border == "reflect":
        return mirrored(i, n)
    if border == "nearest":
        return min(max(i, 0), n - 1)
    return i if 0 <= i < n else None


def window(image: NDArray, y: int, x: int, reach: int, border: str) -> list[tuple[float, int, int]]:
    """Value and offset of each pixel within a Chebyshev distance."""
    found = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            i, j = place(y + dy, image.shape[0], border), place(x + dx, image.shape[1], border)
            if i is not None and j is not None:
                found.append((float(image[i, j]), dy, dx))
    return found


def filtered(image: NDArray, reach: int, border: str, what: str, sigma: float = 0) -> NDArray:
    out = np.empty(image.shape)
    for y, x in np.ndindex(image.shape):
        values, dy, dx = np.array(window(image, y, x, reach, border)).T
        if what == "minimum":
            out[y, x] = min(values)
        elif what == "mean":
            out[y, x] = sum(values) / len(values)
        else:
            weights = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
            out[y, x] = np.sum(weights * values) / np.sum(weights)
    return out


def expected(image: NDArray, recipe: MaskRecipe) -> dict[str, NDArray]:
    total = sum(int(v) if image.dtype.kind == "u" else float(v) for v in image.flat)
    centred = np.array([[float(v) - total / image.size for v in row] for row in image])
    smoothed = centred
    if recipe.smoothing != "none":
        smoothed = filtered(centred, recipe.distance, recipe.border, recipe.smoothing)
    low, high = min(smoothed.flat), max(smoothed.flat)
    normalised = np.array([[recipe.top * (v - low) / (high - low) for v in row] for row in smoothed])
    thresholded = np.array([[0.0 if v < recipe.threshold else v for v in row] for row in normalised])
    blurred = filtered(thresholded, round(4 * recipe.sigma), recipe.border, "gauss", recipe.sigma)
    return dict(zip(STEPS, (centred, smoothed, normalised, thresholded, blurred), strict=True))


def compare(image: NDArray, recipe: MaskRecipe) -> None:
    steps, truth = mask_steps(image, recipe), expected(image, recipe)
    assert list(steps) == STEPS
    for name, step in steps.items():
        assert step.dtype == np.float64
        assert np.abs(step - truth[name]).max() <= 1e-6 * np.abs(truth[name]).max(), name
    np.testing.assert_array_equal(steps["thresholded"] > 0, truth["thresholded"] > 0)
    kept = steps["thresholded"] > 0
    np.testing.assert_array_equal(steps["thresholded"][kept], steps["normalised"][kept])


@pytest.mark.parametrize("border", ["reflect", "nearest", "inside"])
def test_steps_equal_plain_loops_on_a_real_image(data_dir: Path, border: str) -> None:
    image = np.asarray(read_image(data_dir / "stem/dented_haadf_upper.tif").data)[500:540, 420:466]
    compare(image, MaskRecipe(border=border))


@pytest.mark.parametrize(
    "recipe",
    [
        MaskRecipe(smoothing="minimum", distance=3, sigma=2.0, border="inside"),
        MaskRecipe(smoothing="mean", distance=5, threshold=90.0, top=200.0, border="nearest"),
        MaskRecipe(smoothing="none", sigma=0.6),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_steps_equal_plain_loops_with_other_parameters(recipe: MaskRecipe, dtype: str) -> None:
    compare(np.random.default_rng(0).integers(0, 256, (19, 23)).astype(dtype), recipe)


@pytest.mark.parametrize("border", ["reflect", "nearest", "inside"])
def test_variants_equal_plain_loops_on_a_real_image(data_dir: Path, border: str) -> None:
    image = np.asarray(read_image(data_dir / "stem/dented_haadf_upper.tif").data)[500:530, 420:456]
    mask = image - np.mean(image, dtype=np.float64)
    variants = mask_variants(image, border=border)
    assert list(variants) == ["mask", "mask_2", "mask_3_average"]
    np.testing.assert_array_equal(variants["mask"], mask)
    np.testing.assert_array_equal(variants["mask_2"], filtered(mask, 3, border, "minimum"))
    np.testing.assert_allclose(
        variants["mask_3_average"], filtered(mask, 5, border, "mean"), atol=1e-6 * np.abs(mask).max()
    )


def test_a_pixel_at_the_threshold_stays_whatever_rounding_does() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    kept = mask_steps(image, MaskRecipe(smoothing="none"))["thresholded"] > 0
    np.testing.assert_array_equal(kept, image >= 128)


@pytest.mark.parametrize("gain", [1e-6, 1.0, 3e7])
def test_mask_does_not_depend_on_the_unit(gain: float) -> None:
    image = np.random.default_rng(1).random((24, 24))
    np.testing.assert_allclose(
        mask_steps(gain * image + 5 * gain)["blurred"], mask_steps(image)["blurred"], atol=1e-9 * 255
    )


def test_steps_are_separate_arrays_and_the_image_is_unchanged() -> None:
    image = np.random.default_rng(2).random((16, 16))
    before = image.copy()
    steps = mask_steps(image, MaskRecipe(smoothing="none", sigma=0))
    for step in steps.values():
        step += 1
    np.testing.assert_array_equal(image, before)
    assert len({id(step) for step in steps.values()}) == 5
    np.testing.assert_array_equal(steps["blurred"], steps["thresholded"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((8, 8), 3.0), "constant"),
        (np.where(np.eye(8) > 0, np.nan, 1.0), "8 pixels that are NaN"),
        (np.zeros((3, 8, 8)), r"\(Y, X\)"),
        (np.zeros((0, 8)), r"\(Y, X\)"),
        (np.eye(8) * 1j, "real numbers"),
        (np.indices((8, 8)).sum(axis=0) % 2, "constant after the minimum"),
    ],
)
def test_image_without_a_mask_is_refused(image: NDArray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask_steps(image, MaskRecipe(smoothing="minimum", distance=3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"smoothing": "median"},
        {"border": "wrap"},
        {"distance": -1},
        {"distance": 2.5},
        {"distance": True},
        {"sigma": -1.0},
        {"sigma": float("nan")},
        {"top": 0.0},
        {"threshold": "128"},
    ],
)
def test_impossible_recipe_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        MaskRecipe(**wrong)
