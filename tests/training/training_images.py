"""Small images that a network can learn from, and settings that finish at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY: dict[str, Any] = {
    "patch": 16, "batch_size": 2, "steps": 4, "validate_every": 2, "network_options": "width = 4, levels = 2",
    "workers": 0, "device": "cpu", "precision": "float32",
}  # fmt: skip
TINY_CYCLE: dict[str, Any] = TINY | {
    "patch": 24, "batch_size": 1, "network": "cyclegan_resnet", "network_options": "width = 4, blocks = 1",
    "discriminator_width": 4, "pool": 2,
}  # fmt: skip
TINY_OF: dict[str, dict[str, Any]] = {
    "supervised": TINY,
    "tomogan": TINY | {"network": "unet"},
    "noise2noise": TINY,
    "noise2void": TINY,
    "cyclegan": TINY_CYCLE,
    "two-stage": TINY_CYCLE | {"unpaired_steps": 2, "final_options": "width = 4, levels = 2", "final_batch_size": 2},
}


def clean_images(count: int = 6, side: int = 48, seed: int = 0) -> NDArray[np.float32]:
    """Smooth images from 0 to 1."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.random((count, side, side)), (0, 2, 2), mode="wrap")
    low, high = image.min(axis=(1, 2), keepdims=True), image.max(axis=(1, 2), keepdims=True)
    return ((image - low) / (high - low)).astype(np.float32)


def with_noise(clean: NDArray[np.float32], sigma: float = 0.2, seed: int = 1) -> NDArray[np.float32]:
    """The images with white noise."""
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def data_for(method: str) -> Any:
    """What a method trains on."""
    clean = clean_images()
    if method == "noise2noise":
        return [np.stack([with_noise(image, seed=10 * k + r) for r in range(3)]) for k, image in enumerate(clean)]
    if method == "noise2void":
        return with_noise(clean)
    return with_noise(clean), clean if method in ("supervised", "tomogan") else clean_images(4, seed=9)
