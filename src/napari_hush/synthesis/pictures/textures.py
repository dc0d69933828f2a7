"""Textures for images of all sorts: noise of every roughness, periodic patterns, writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field, standardised

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PEN = 1.2  # px; the softest rim of a stroke


def rough_field(shape: tuple[int, int], exponent: float, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw a random field whose amplitude spectrum falls as a power of the frequency.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    exponent : float
        The power, from 0, white noise, over 1, as photographs have, to 3, hills.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        Mean 0 and standard deviation 1 over this one field.

    Raises
    ------
    InputError
        If the exponent is not from 0 to 3.

    References
    ----------
    D. J. Field, "Relations between the statistics of natural images and the response properties of cortical cells",
    J. Opt. Soc. Am. A 4, 2379 (1987), https://doi.org/10.1364/JOSAA.4.002379

    Examples
    --------
    >>> rough_field((32, 48), 1.0, rng=0).shape
    (32, 48)
    """
    if not 0 <= exponent <= 3:
        raise InputError(f"exponent must be from 0 to 3; got {exponent}")
    rng = np.random.default_rng(rng)
    padded = tuple(fft.next_fast_len(n + n // 4, real=True) for n in shape)  # the field is periodic in these
    k = np.hypot(fft.fftfreq(padded[0])[:, None], fft.rfftfreq(padded[1]))
    k[0, 0] = np.inf
    spectrum = fft.rfft2(rng.standard_normal(padded, dtype=np.float32)) * (k**-exponent).astype(np.float32)
    return standardised(fft.irfft2(spectrum, s=padded)[: shape[0], : shape[1]])


def random_pattern(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw a periodic pattern, somewhat bent: stripes, checks, dots, a weave or bricks.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness: the sort of pattern, its period (3 to 40 px), direction and sharpness.

    Returns
    -------
    ndarray, shape (Y, X)
        Values from 0 to 1.

    Examples
    --------
    >>> random_pattern((32, 48), rng=0).shape
    (32, 48)
    """
    rng = np.random.default_rng(rng)
    period = np.exp(rng.uniform(np.log(3), np.log(40), 2)) if rng.random() < 0.5 else np.full(2, 3 * 13 ** rng.random())
    y, x = np.indices(shape, dtype=np.float32) - rng.uniform(0, 40)
    turn = rng.choice([0.0, rng.uniform(0, np.pi)])
    bend = rng.choice([0.0, 0.3]) * period.mean() * smooth_field(shape, 0.2 * max(shape), rng)
    u = (x * np.cos(turn) + y * np.sin(turn) + bend) / period[0]
    v = (y * np.cos(turn) - x * np.sin(turn) + bend) / period[1]
    sharp = np.exp(rng.uniform(np.log(0.7), np.log(0.25 * period.min() + 1)))
    wave, across = (np.cos(2 * np.pi * phase) for phase in (u, v))
    kind = rng.integers(5)
    if kind == 0:
        field = wave + rng.uniform(-0.7, 0.7)
    elif kind == 1:
        field = wave * across
    elif kind == 2:
        field = wave + across + rng.uniform(-1, 1)
    elif kind == 3:
        field = np.where(wave * across > 0, wave, -across)
    else:  # joints between bricks
        joint = 1 - rng.uniform(0.1, 0.3)
        along = np.abs(2 * np.mod(u + 0.5 * np.mod(np.floor(v), 2), 1) - 1)
        field = joint - np.maximum(along, np.abs(2 * np.mod(v, 1) - 1))
        sharp *= 3
    return np.asarray(0.5 + 0.5 * np.tanh(sharp * field), dtype=np.float32)


def random_writing(shape: tuple[int, int], rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw lines of signs made of strokes and arcs, as print and handwriting are, from a small alphabet.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness: the alphabet, its height (8 to 48 px), weight and slant.

    Returns
    -------
    ndarray, shape (Y, X)
        0 on the paper, 1 in the ink.

    Examples
    --------
    >>> random_writing((32, 48), rng=0).shape
    (32, 48)
    """
    rng = np.random.default_rng(rng)
    height = int(np.exp(rng.uniform(np.log(8), np.log(48))))
    alphabet = [_sign(height, rng) for _ in range(16)]
    page = np.zeros(shape, dtype=np.float32)
    top = -int(rng.integers(height))
    while top < shape[0]:
        left = -int(rng.integers(height))
        while left < shape[1]:
            if rng.random() < 0.16:  # between two words
                left += height // 2
            sign = alphabet[rng.integers(len(alphabet))]
            window = page[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + sign.shape[1], 0)]
            y, x = max(-top, 0), max(-left, 0)
            window[:] = np.maximum(window, sign[y : y + window.shape[0], x : x + window.shape[1]])
            left += sign.shape[1]
        top += int(height * 1.25)
    return page


def _sign(height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Two to four strokes, straight or round: (Y, X), 0 to 1."""
    shape = (height, max(4, int(height * rng.uniform(0.35, 0.8))))
    y, x = np.indices(shape, dtype=np.float32)
    half = max(0.6, height * rng.uniform(0.03, 0.09))
    ends = np.array(shape) - 1
    near = np.full(shape, np.inf, dtype=np.float32)
    for _ in range(rng.integers(2, 5)):
        (ay, ax), (by, bx) = rng.choice([0.12, 0.5, 0.88], (2, 2)) * ends
        if rng.random() < 0.4:  # part of a circle
            away = np.hypot(y - (ay + by) / 2, x - (ax + bx) / 2)
            distance = np.abs(away - max(np.hypot(by - ay, bx - ax) / 2, 0.2 * height))
        else:
            length = max(float((by - ay) ** 2 + (bx - ax) ** 2), 1e-6)
            t = np.clip(((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / length, 0, 1)
            distance = np.hypot(y - ay - t * (by - ay), x - ax - t * (bx - ax))
        near = np.minimum(near, distance)
    return np.asarray(np.clip((half - near) / _PEN + 0.5, 0, 1), dtype=np.float32)
