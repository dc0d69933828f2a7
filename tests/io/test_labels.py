"""Labels and masks are told from images, however few counts these have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush.io import looks_like_labels, read_image
from napari_hush.synthesis.samples import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
BLOBS = ndimage.gaussian_filter(RNG.normal(size=(256, 256)), 4) > 0.01
REAL = [
    "stem/dented_haadf_upper.tif",
    "stem/Tecnai_Osiris_SrTiO3.tif",
    "stem/REBCO.tif",
    "stem/10_dso_8nm_none_none.png",
    "stem/03_afterimage_8nm_crp.png",
    "stem/12219.png",
    "atoms/bpy_crop20.tif",
    "repeats/train_0001.tif",
    "repeats/train_0002.tif",
]


def spots() -> NDArray[np.uint8]:
    """Small objects, each with a number of its own, as a segmentation of nuclei has them."""
    y, x = np.mgrid[:256, :256]
    found = np.zeros((256, 256), np.uint8)
    for number, (at_y, at_x) in enumerate(RNG.integers(5, 250, (80, 2)), start=1):
        found[(y - at_y) ** 2 + (x - at_x) ** 2 < 16] = number
    return found


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (BLOBS, "a mask (True and False)"),
        (BLOBS.astype(np.uint8) * 255, "a mask (0 and 255)"),
        (ndimage.label(BLOBS)[0], "labels of regions"),
        (np.stack([ndimage.label(BLOBS)[0]] * 3), "labels of regions"),
        (ndimage.label(BLOBS)[0].astype(np.uint16)[..., None], "labels of regions"),
        (spots(), "labels of regions"),
        (ndimage.gaussian_filter(RNG.normal(size=(256, 256)), 8) // 0.02 + 3, ""),  # of no whole numbers: not judged
    ],
)
def test_labels_and_masks_are_named(data: np.ndarray, words: str) -> None:
    found = looks_like_labels(data)
    assert found.startswith(words) and bool(found) == bool(words)


def versions_of(image: NDArray[np.float64]) -> dict[str, NDArray[np.integer]]:
    """As cameras and detectors may give it: few bits, saturated, counts of low doses."""
    unit = (image - image.min()) / np.ptp(image)
    found: dict[str, NDArray[np.integer]] = {f"{n} steps": (unit * (n - 1)).round().astype(np.uint8) for n in (16, 256)}
    for share in (30, 45):
        low, high = np.percentile(unit, (share, 100 - share))
        found[f"saturated {share}"] = (np.clip((unit - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    for dose in (0.05, 0.2, 1.0, 5.0):
        found[f"dose {dose}"] = RNG.poisson(unit / unit.mean() * dose).astype(np.uint16)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_no_labels(name: str) -> None:
    noisy = np.asarray(hush.sample(name).noisy, np.float64)
    for how, version in versions_of(noisy).items():
        assert not looks_like_labels(version), how


@pytest.mark.parametrize("name", REAL)
def test_real_images_are_no_labels(name: str, data_dir: Path) -> None:
    image = read_image(data_dir / name)
    assert not looks_like_labels(image.data, image.source)
    for how, version in versions_of(np.asarray(image.data, np.float64)).items():
        assert not looks_like_labels(version), how


def test_a_name_alone_makes_no_labels() -> None:
    image = RNG.poisson(50, (64, 64))
    assert not looks_like_labels(image, "mask.tif") and not looks_like_labels(image * 0, "mask.tif")
    steps = np.kron(RNG.integers(0, 9, (20, 20)), np.ones((2, 2), int))  # of 2 px: too small to be believed alone
    assert not looks_like_labels(steps)
    for name in ("cells_mask.tif", "a.zarr/labels/cells/0"):
        assert looks_like_labels(steps, name).startswith("labels of regions")
    assert not looks_like_labels(steps, "unmasked.tif")
