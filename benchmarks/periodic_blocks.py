"""Periodic block matching: BM3D whose similar blocks lie near the translations of a lattice.

    python benchmarks/quality.py stem --methods periodic bm3d bm3d_vst --doses 2 5 10 50

runs it as the rival ``periodic`` of the quality benchmark. An own, small version of [1]_ after the two steps of BM3D
[2]_: blocks of 8 x 8 px, 16 to a group, are filtered together in a DCT over the block and a Hadamard transform over the
group, first by a hard threshold, then by a Wiener filter that takes the first result for the truth. Candidates for a
group are the block itself and those at the lattice's translations, each displaced by up to 2 px to where it is most
alike.

What differs from the paper: the translations come from `find_lattice` of this package and hold for the whole image, all
that the image has room for compete (the 120 shortest), likeness is measured over about one period rather than over the
block, the first time in an image smoothed by 1 px, and the noise is stabilised for counts with readout, not for counts
alone.

References
----------
.. [1] N. Mevenkamp et al., "Poisson noise removal from high-resolution STEM images based on periodic block matching",
   Adv. Struct. Chem. Imaging 1, 3 (2015), https://doi.org/10.1186/s40679-015-0004-8
.. [2] K. Dabov et al., IEEE Trans. Image Process. 16, 2080 (2007), https://doi.org/10.1109/TIP.2007.901238
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import fft, linalg, ndimage

from napari_hush.atoms.spacing import find_lattice
from napari_hush.errors import InputError

BLOCK = 8  # px
STEP = 3  # px between reference blocks
GROUP = 16  # blocks, a power of two
REACH = 2  # px around a translation
TRANSLATIONS = 120  # the shortest of them
THRESHOLD = 2.7  # standard deviations of the noise
PREFILTER = 1.0  # px, of the image in which blocks are compared the first time


def periodic_blocks(image: np.ndarray, vectors: np.ndarray | None = None) -> np.ndarray:
    """Denoise an image (Y, X) with white noise of variance 1; ``vectors`` (2, 2) are the lattice's, y and x, px.

    Raises
    ------
    InputError
        If no vectors are given and no lattice is found, or the image is smaller than a few blocks.
    """
    if min(image.shape) < 4 * BLOCK:
        raise InputError(f"periodic block matching needs at least {4 * BLOCK} px each way; got {image.shape}")
    if vectors is None:
        found = find_lattice(image)
        if found is None:
            raise InputError("periodic block matching needs a lattice, and none is found in this image")
        vectors = found.vectors
    window = int(np.clip(np.ceil(np.hypot(*vectors.T).max()), BLOCK, 24))
    steps = _translations(vectors, image.shape)
    corners = [np.unique([*range(0, size - BLOCK, STEP), size - BLOCK]) for size in image.shape]
    at = np.stack([grid.ravel() for grid in np.meshgrid(*corners, indexing="ij")], axis=1)  # (R, 2)
    groups = _match(ndimage.gaussian_filter(image, PREFILTER), at, steps, window)
    basic = _filter(image, groups, None)
    groups = _match(basic, at, steps, window)
    return _filter(image, groups, basic)


def _translations(vectors: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The shortest translations that fit into the image, (N, 2) px, without none."""
    most = int(np.ceil(max(shape) / np.hypot(*vectors.T).min()))
    steps = np.array([step for step in product(range(-most, most + 1), repeat=2) if step != (0, 0)]) @ vectors
    steps = steps[(np.abs(steps) <= np.array(shape) - 2 * BLOCK).all(axis=1)]
    return steps[np.argsort(np.hypot(*steps.T))[:TRANSLATIONS]]


def _match(image: np.ndarray, at: np.ndarray, steps: np.ndarray, window: int) -> np.ndarray:
    """Corners of the blocks most like those at ``at`` (R, 2), themselves first: (R, GROUP, 2)."""
    height, width = image.shape
    best = np.full((len(steps), len(at)), np.inf, np.float32)
    places = np.zeros((len(steps), len(at), 2), np.int32)
    plane = image.astype(np.float32)
    for k, step in enumerate(np.rint(steps).astype(int)):
        for around in product(range(-REACH, REACH + 1), repeat=2):
            dy, dx = step + around
            y0, y1, x0, x1 = max(0, -dy), min(height, height - dy), max(0, -dx), min(width, width - dx)
            if y1 - y0 < BLOCK or x1 - x0 < BLOCK:
                continue
            difference = plane[y0:y1, x0:x1] - plane[y0 + dy : y1 + dy, x0 + dx : x1 + dx]
            unlike = ndimage.uniform_filter(difference**2, window, mode="nearest")
            y, x = at[:, 0], at[:, 1]
            inside = (y >= y0) & (y + BLOCK <= y1) & (x >= x0) & (x + BLOCK <= x1)
            value = np.full(len(at), np.inf, np.float32)
            value[inside] = unlike[y[inside] - y0 + BLOCK // 2, x[inside] - x0 + BLOCK // 2]
            nearer = value < best[k]
            best[k][nearer] = value[nearer]
            places[k][nearer] = at[nearer] + (dy, dx)
    there = int(np.isfinite(best).sum(axis=0).min()) + 1  # at the corner with the fewest
    size = min(GROUP, 2 ** int(np.log2(there)))
    order = np.argsort(best, axis=0)[: size - 1]
    chosen = np.take_along_axis(places, order[..., None], axis=0)
    return np.concatenate([at[None], chosen]).swapaxes(0, 1)


def _filter(image: np.ndarray, groups: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
    """Filter all groups and average what every block says of a pixel: by a threshold, or with a pilot of the truth."""
    size = groups.shape[1]
    mixing = linalg.hadamard(size) / size**0.5
    inner = np.arange(BLOCK)
    weight = np.outer(*(np.kaiser(BLOCK, 2.0),) * 2)
    total, share = np.zeros(image.shape), np.zeros(image.shape)
    for part in np.array_split(groups, max(len(groups) // 2000, 1)):
        y = part[..., 0, None, None] + inner[:, None]  # (R, K, B, 1)
        x = part[..., 1, None, None] + inner
        spectrum = _forward(image[y, x], mixing)
        if truth is None:
            kept = np.abs(spectrum) > THRESHOLD
            spectrum = spectrum * kept
            trust = 1 / np.maximum(kept.sum(axis=(1, 2, 3)), 1)
        else:
            power = _forward(truth[y, x], mixing) ** 2
            gain = power / (power + 1)
            spectrum = spectrum * gain
            trust = 1 / np.maximum((gain**2).sum(axis=(1, 2, 3)), 1e-6)
        blocks = fft.idctn(np.tensordot(spectrum, mixing, axes=(1, 0)).transpose(0, 3, 1, 2), axes=(2, 3), norm="ortho")
        weights = trust[:, None, None, None] * weight * np.ones(blocks.shape)
        flat = (y * image.shape[1] + x).ravel()
        total += np.bincount(flat, (weights * blocks).ravel(), image.size).reshape(image.shape)
        share += np.bincount(flat, weights.ravel(), image.size).reshape(image.shape)
    return total / share


def _forward(blocks: np.ndarray, mixing: np.ndarray) -> np.ndarray:
    """DCT over each block, Hadamard over the group: (R, K, B, B)."""
    return np.tensordot(fft.dctn(blocks, axes=(2, 3), norm="ortho"), mixing, axes=(1, 1)).transpose(0, 3, 1, 2)
