"""The example in a BioImage.IO package: a simulated image, what the network makes of it, and pictures of both."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import torch
from PIL import Image

from napari_hush.exporters.preprocess import apply
from napari_hush.inference.companions import LatticeCompanions
from napari_hush.synthesis.samples import sample

if TYPE_CHECKING:
    from napari_hush.model import Model
    from napari_hush.normalize import NormalizationRule

SMALLEST = 64  # px: the smallest image, or the smallest that is left of a tile without its halo
COVER_SIDE = 256  # px


def least_side(model: Model) -> int:
    """The smallest allowed side of an image, px: some of a tile is left when its halo is cropped."""
    least = SMALLEST if model.staged else SMALLEST + 2 * model.halo
    return -(-max(least, 2 * model.stride) // model.stride) * model.stride


def make_test_tensors(model: Model, operations: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """A simulated noisy image in counts (1, C, Y, X), and what the network makes of it, normalised."""
    height = least_side(model)
    width = height + model.stride
    channels = []
    images = [sample("dented-lattice", rng=number).noisy for number in range(model.image_channels)]
    if model.companions == "lattice":
        images += list(LatticeCompanions.measured_on(images[0]).of(images[0]))
    for image in images:
        part = image[128:, 192:]  # with the dent
        grow = [(0, max(0, size - have)) for size, have in zip((height, width), part.shape, strict=True)]
        channels.append(np.pad(part, grow, mode="symmetric")[:height, :width])
    noisy = _suit(np.stack(channels)[None], model.normalization)
    network = copy.deepcopy(model.network).cpu().float()
    with torch.inference_mode():
        denoised: np.ndarray = network(torch.from_numpy(apply(operations, noisy))).numpy()
    return noisy, denoised


def _suit(image: np.ndarray, rule: NormalizationRule) -> np.ndarray:
    """Bring counts to the range that a rule without percentiles expects."""
    if rule.method in ("percentile", "match"):
        return image.astype(np.float32)
    values: np.ndarray = np.interp(image, (image.min(), image.max()), rule.source or rule.target).astype(np.float32)
    return values


def draw_cover(noisy: np.ndarray, denoised: np.ndarray) -> bytes:
    """A PNG of the first channels (1, C, Y, X), noisy and denoised, with one grey scale."""
    pair = [array[0, 0, -COVER_SIDE:, -COVER_SIDE:] for array in (noisy, denoised)]
    low, high = np.percentile(pair[1], (0.5, 99.5))
    grey = np.clip((np.hstack(pair) - low) / max(high - low, 1e-12), 0, 1)
    picture = Image.fromarray(np.rint(255 * grey).astype(np.uint8))
    picture = picture.resize((2 * COVER_SIDE, COVER_SIDE), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def save_array(array: np.ndarray) -> bytes:
    """The bytes of an .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def save_picture(array: np.ndarray) -> bytes:
    """(1, C, Y, X) as TIFF, for people to look at; float32 as it is."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array[0] if array.shape[1] > 1 else array[0, 0], photometric="minisblack")
    return buffer.getvalue()
