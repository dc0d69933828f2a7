"""The noise of one scanned image, drawn at random: which noises, how strong, in a microscope's order."""

from __future__ import annotations

import numpy as np

from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    MissingLines,
    Noise,
    Poisson,
    Quantisation,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
)


def random_scan_noise(
    rng: np.random.Generator | int, *, dose: tuple[float, float] = (2.0, 500.0), period: float = 12.0
) -> Compose:
    """Draw the noise of one scanned image, in the order in which a microscope adds it.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness for the parameters (not for the noise itself).
    dose : (float, float)
        Lowest and highest dose, counts per pixel at image value 1, drawn log-uniformly.
    period : float
        Lattice period, px, the unit of the row jitter (rms 0 to 0.05 periods).

    Returns
    -------
    Compose
        Jitter, Poisson, detector lag, readout, row offsets, spikes, missing lines, quantisation; those that an
        image does not always show are left out in a part of the draws. Lag does not move the image on average.

    Examples
    --------
    >>> noise = random_scan_noise(0, dose=(10, 10))
    >>> noise(np.ones((64, 64), dtype=np.float32), np.random.default_rng(1)).shape
    (64, 64)
    """
    rng = np.random.default_rng(rng)
    level = float(np.exp(rng.uniform(*np.log(dose))))
    lag = DetectorLag(correlation=rng.uniform(0, 0.45) if rng.random() < 0.6 else 0.0)
    jitter = rng.uniform(0, 0.05) * period if rng.random() < 0.7 else 0.0
    grain = level**-0.5  # the Poisson noise at image value 1
    noises: list[Noise] = []
    if jitter or lag.delay:
        noises.append(RowJitter(rms=jitter, correlation=rng.uniform(0, 0.8), advance=lag.delay))
    noises.append(Poisson(dose=level))
    if lag.delay:
        noises.append(lag)
    if rng.random() < 0.5:
        noises.append(Readout(sigma=rng.uniform(0, 0.5) * grain))
    if rng.random() < 0.4:
        noises.append(RowOffsets(sigma=rng.uniform(0, 0.25) * grain, correlation=rng.uniform(0, 0.9)))
    if rng.random() < 0.15:
        noises.append(
            SaltPepper(fraction=10 ** rng.uniform(-4, -2.3), salt=rng.uniform(0.3, 1), height=rng.uniform(0, 2))
        )
    if rng.random() < 0.05:
        noises.append(MissingLines(fraction=rng.uniform(0, 0.01)))
    if rng.random() < 0.3:
        noises.append(Quantisation(levels=255))
    return Compose(noises=tuple(noises))
