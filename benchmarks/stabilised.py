"""Noise of counts made white and of variance 1 before a filter, and the mean brought back after it.

    python benchmarks/stabilised.py --doses 2 5 10 50 --fields 3

prints how much BM3D gains by it on simulated counts without readout: dead leaves, cells and filaments of 128 x 128 px.

Counts p of a gain a, with readout noise, have the variance ``a m + b`` at the mean m: a line, ``b`` holding readout and
offset together. The generalised Anscombe transformation [1]_ is ``D = 2 sqrt(y + 3/8)`` with ``y = (a z + b) / a**2``,
of about unit variance. What a filter makes of D is brought back by the closed form of the exact unbiased inverse [2]_,
``y = D**2 / 4 + sqrt(3/2) / (4 D) - 11 / (8 D**2) + 5 sqrt(3/2) / (8 D**3) - 1/8``; the plain inverse of the formula
would be too dark. Readout enters both ways through ``b`` alone. A closed form is not exact: at 0.7 counts with a
readout of half a count it is 0.09 counts too bright.

References
----------
.. [1] J.-L. Starck, F. Murtagh, A. Bijaoui, "Image Processing and Data Analysis", Cambridge (1998),
   https://doi.org/10.1017/CBO9780511564352
.. [2] M. Makitalo, A. Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian noise",
   IEEE Trans. Image Process. 22, 91 (2013), https://doi.org/10.1109/TIP.2012.2202675
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from napari_hush.residual.noise import measure_noise

BINS = 24  # of like brightness, in which the variance is taken
FLAT = 1e-3  # of the variance: a line that rises by less over the image is that of white noise
LEAST = 2 * (3 / 8) ** 0.5  # the transform of no count


@dataclass(frozen=True, kw_only=True)
class VarianceLine:
    """The variance ``gain * value + constant`` of an image's noise, in the image's unit squared."""

    gain: float
    constant: float

    def forward(self, image: np.ndarray) -> np.ndarray:
        """Make the noise white, of variance 1; values below no count become that of no count."""
        return 2 * np.sqrt(np.maximum((self.gain * image + self.constant) / self.gain**2, 0) + 3 / 8)

    def inverse(self, stable: np.ndarray) -> np.ndarray:
        """Bring means of stabilised values back to the image's unit, unbiased."""
        d = np.maximum(stable, LEAST)
        root = 1.5**0.5
        y = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
        return (self.gain**2 * y - self.constant) / self.gain


def variance_line(noisy: np.ndarray, clean: np.ndarray | None = None) -> VarianceLine | None:
    """Tell the line of the noise's variance; None where the noise does not grow with the image.

    With the truth it is fitted to the squared differences from it, which no user can do; without it, to what
    `measure_noise` says of the noisy image between its darkest and brightest places.
    """
    if clean is None:
        noise = measure_noise([noisy])
        value = np.linspace(noise.zero, noise.top, BINS)
        variance = noise.variance(value).astype(np.float64)
    else:
        edges = np.unique(np.quantile(clean, np.linspace(0, 1, BINS + 1)))
        place = np.clip(np.searchsorted(edges, clean.ravel(), side="right") - 1, 0, max(len(edges) - 2, 0))
        count = np.bincount(place)
        value = np.bincount(place, clean.ravel())[count > 0] / count[count > 0]
        variance = np.bincount(place, (noisy - clean).ravel() ** 2)[count > 0] / count[count > 0]
    darkest, span = float(value.min()), float(np.ptp(value))
    if span == 0:
        return None
    # errors of a variance are proportional to it; neither gain nor variance in the dark is negative
    weight = 1 / np.maximum(variance, 1e-3 * variance.max())
    terms = np.stack([np.ones(len(value)), (value - darkest) / span], axis=1) * weight[:, None]
    dark, rise = optimize.nnls(terms, variance * weight)[0]
    if rise <= FLAT * (dark + rise):
        return None
    return VarianceLine(gain=rise / span, constant=dark - rise / span * darkest)


def main() -> None:
    from napari_hush.fidelity.metrics import psnr
    from napari_hush.synthesis import dead_leaves
    from napari_hush.synthesis.pictures.phantoms import cells, filaments
    from rivals import bm3d, bm3d_stabilised

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--doses", type=float, nargs="+", default=[2, 5, 10, 50], help="counts at image value 1")
    parser.add_argument("--fields", type=int, default=3, help="of each kind, and dose")
    parser.add_argument("--side", type=int, default=128, help="px")
    args = parser.parse_args()
    print("| PSNR, dB | noisy | BM3D | stabilised, line told | gain | stabilised, line measured | gain |")
    print("|---|---|---|---|---|---|---|")
    for dose in args.doses:
        rows = []
        for number in range(args.fields):
            for kind, draw in enumerate((dead_leaves, cells, filaments)):
                clean = np.asarray(draw((args.side,) * 2, rng=np.random.default_rng([51, number, kind])), np.float64)
                noisy = np.random.default_rng([52, number, kind]).poisson(dose * clean) / dose
                sigma = float(np.std(noisy - clean))
                results = (
                    noisy,
                    bm3d(noisy, clean, sigma),
                    bm3d_stabilised(noisy, clean, sigma),
                    bm3d_stabilised(noisy, None, sigma),
                )
                rows.append([psnr(clean, result) for result in results])
        found = np.array(rows)
        none, plain, told, measured = found.mean(axis=0)
        gains = [f"{g.mean():+.2f} ± {g.std(ddof=1):.2f}" for g in (found[:, 2:] - found[:, 1:2]).T]
        print(
            f"| dose {dose:g} | {none:.2f} | {plain:.2f} | {told:.2f} | {gains[0]} | {measured:.2f} | {gains[1]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
