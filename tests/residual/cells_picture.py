"""Cells, 0.05 to about 1, and any noise on them."""

from __future__ import annotations

import numpy as np

from napari_hush.synthesis.pictures.phantoms import cells


def picture(side):
    clean = 0.05 + np.asarray(cells((side, side), rng=1), np.float64)
    return clean / clean.max()


def with_noise(noise, clean, seed):
    return np.asarray(noise(clean.astype(np.float32), np.random.default_rng(seed)), np.float64)
