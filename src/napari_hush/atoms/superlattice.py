"""Whether columns of one kind differ from cell to cell in an order of their own: a lattice of larger cells."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MULTIPLES = (2, 3)
AT, AROUND = 1.5, 8.0  # widths of a spot: so far it reaches, and so far what it is compared with
BLOCK = 4  # px that are added up once a wave is brought to zero: what is near it stays
SLOW = 10.0  # widths of a spot around zero frequency into which slow contrast reaches
STANDS_OUT = 30.0  # times what is around it


def multiple_of(plane: Floats, phases: Floats, vectors: Floats, inside: NDArray[np.bool_] | None = None) -> int:
    """How many times longer the translations are that bring an image to itself than those of its cell.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
        Noisy.
    phases : ndarray, shape (2, Y, X)
        Of two reciprocal vectors of the cell at each pixel, cycles, from `lattice_phases`.
    vectors : ndarray, shape (2, 2)
        These reciprocal vectors (y, x) as rows, cycles per px.
    inside : ndarray of bool, shape (Y, X), optional
        Pixels that count; all by default.

    Returns
    -------
    int
        1, or 2 or 3 where spots of halves or thirds of the reciprocal vectors stand out of what is around them.

    Notes
    -----
    The image is demodulated by the phases of its own lattice, so that drift does not smear a spot, and looked at in the
    Fourier plane around zero. A spot so near to zero frequency that slow contrast reaches it is not looked at: there
    must be ten of the larger cells in a row.
    """
    window = np.hanning(plane.shape[0] + 2)[1:-1, None] * np.hanning(plane.shape[1] + 2)[1:-1]
    if inside is not None:
        window = window * inside
    size = float(np.sqrt(plane.size if inside is None else inside.sum()))
    values = np.asarray((plane - np.average(plane, weights=window)) * window, np.float32)
    for multiple in MULTIPLES:
        turns = np.exp(np.asarray(-2j * np.pi / multiple * phases, np.complex64))
        spots = [pair for pair in _fractions(multiple) if np.hypot(*(pair @ vectors)) * size > SLOW * multiple]
        if any(_stands_out(values * turns[0] ** h * turns[1] ** k) for h, k in spots):
            return multiple
    return 1


def _fractions(multiple: int) -> list[tuple[int, int]]:
    """Spots up to the first of the small cell that it has not, in parts of its vectors; one of each pair h, -h."""
    steps = range(-multiple, multiple + 1)
    return [
        (h, k)
        for h, k in product(steps, steps)
        if (h, k) > (0, 0) and (h % multiple or k % multiple) and math.hypot(h, k) <= multiple
    ]


def _stands_out(turned: NDArray[np.complex64]) -> bool:
    """Whether a wave that was brought to frequency zero is there."""
    height, width = (size // BLOCK for size in turned.shape)
    coarse = turned[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK).sum(axis=(1, 3))
    power = np.abs(fft.fft2(coarse)) ** 2
    y, x = (np.asarray(n * fft.fftfreq(n)) for n in power.shape)
    away = np.hypot(y[:, None], x)
    ring = power[(away > 2 * AT) & (away <= AROUND)]
    return bool(power[away <= AT].max() > STANDS_OUT * np.median(ring) / np.log(2))
