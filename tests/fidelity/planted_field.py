"""A lattice with a hole and a vacancy, and what a microscope records of it."""

from dataclasses import dataclass

import numpy as np

from napari_hush.synthesis import ellipse, render_columns
from napari_hush.synthesis.noise.registry import Compose, DetectorLag, Poisson, RowJitter

PERIOD, SIGMA, SIDE = 12.0, 2.2, 144
HOLE, VACANCY = np.array([92.0, 50.0]), np.array([42.0, 90.0])


@dataclass
class Field:
    positions: np.ndarray
    transmission: np.ndarray

    def draw(self, positions=None, added=None):
        columns = render_columns(
            self.positions if positions is None else positions, self.peaks(positions), SIGMA, (SIDE,) * 2
        )
        image = (0.1 + 0.9 * columns) * self.transmission
        if added is not None:
            image = image + 0.9 * render_columns(np.array([added]), np.ones(1), SIGMA, (SIDE,) * 2)
        return image.astype(np.float64)

    def peaks(self, positions):
        return np.ones(len(self.positions if positions is None else positions))

    def nearest(self, place):
        return int(np.argmin(np.hypot(*(self.positions - place).T)))


def make_field(transmission=None):
    sites = np.stack(np.meshgrid(*(np.arange(-6.0, SIDE + 8, PERIOD),) * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    hole = ellipse((SIDE, SIDE), centre=tuple(HOLE), fwhm=(62, 58), edge=3)
    hole = np.clip((hole - 0.02) / 0.98, 0, 1)
    return Field(sites[np.hypot(*(sites - VACANCY).T) > 1], hole if transmission is None else transmission)


def scan(clean, *, dose=20.0, seed=0, jitter=0.2, lag=0.2):
    delay = DetectorLag(correlation=lag)
    chain = Compose(noises=(RowJitter(rms=jitter, advance=delay.delay), Poisson(dose=dose), delay))
    return chain(clean.astype(np.float32), np.random.default_rng(seed))
