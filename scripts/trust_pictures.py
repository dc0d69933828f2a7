"""Draw what the checks mark in results that were harmed on purpose: noisy, harmed, marked.

    python scripts/trust_pictures.py docs/images/trust

The noisy images are samples. The "result" is their truth with one harm in it, so that nothing but the harm can be
found. Prints the verdict of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

import napari_hush as hush
from napari_hush.reports.panels import contrast
from picture_row import marked, shades, write_rows

SIDE = 240  # px
COLUMN = 0.16  # width of a column, periods
ERASED = 3  # columns


def lattice() -> hush.Sample:
    """The sample with a dent."""
    return hush.sample("dented-lattice")


def window(sample: hush.Sample) -> tuple[slice, slice]:
    """The part of a sample in whose middle the dent is."""
    dent = 1 - sample.transmission
    centre = ndimage.center_of_mass(dent)
    start = [int(np.clip(round(c) - SIDE // 2, 0, n - SIDE)) for c, n in zip(centre, dent.shape, strict=True)]
    return slice(start[0], start[0] + SIDE), slice(start[1], start[1] + SIDE)


def without_dent(sample: hush.Sample) -> np.ndarray:
    """The truth with the material put back that the dent lacks."""
    return np.asarray(sample.clean / np.maximum(sample.transmission, 0.02), np.float32)


def without_columns(sample: hush.Sample) -> np.ndarray:
    """The truth with three neighbouring columns painted over."""
    places = _far_from_the_dent(sample, sample.positions)
    middle = places[np.argmin(np.linalg.norm(places - places.mean(axis=0), axis=1))]
    near = np.argsort(np.linalg.norm(places - middle, axis=1))[:ERASED]
    image = sample.clean.astype(np.float32)
    ground = ndimage.percentile_filter(image, 10, size=round(2 * sample.period))
    for place in places[near]:
        cover = _bump(image.shape, place, 0.25 * sample.period) > np.exp(-2)
        image = np.where(cover, ground, image)
    return np.asarray(ndimage.gaussian_filter(image, 0.3))


def with_an_atom(sample: hush.Sample) -> np.ndarray:
    """The truth with a column where there is a vacancy."""
    part = window(sample)
    offset = np.array([part[0].start, part[1].start])
    inside = [v for v in sample.vacancies if (np.abs(v - offset - SIDE / 2) < SIDE / 2 - 3 * sample.period).all()]
    place = max(inside, key=lambda v: sample.transmission[tuple(np.rint(v).astype(int))])
    bump = _bump(sample.clean.shape, place, COLUMN * sample.period)
    return np.asarray(sample.clean + 0.8 * (sample.clean.max() - sample.clean.min()) * bump, np.float32)


def _far_from_the_dent(sample: hush.Sample, places: np.ndarray) -> np.ndarray:
    part = window(sample)
    offset = np.array([part[0].start, part[1].start])
    inside = (np.abs(places - offset - SIDE / 2) < SIDE / 2 - 3 * sample.period).all(axis=1)
    at = np.rint(places[inside]).astype(int)
    return np.asarray(places[inside][sample.transmission[at[:, 0], at[:, 1]] > 0.97])


def _bump(shape: tuple[int, ...], place: np.ndarray, width: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * width**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder")
    args = parser.parse_args()
    scan, cells = lattice(), hush.sample("cells")
    middle = tuple(slice((n - SIDE) // 2, (n + SIDE) // 2) for n in cells.clean.shape)
    cases = [
        ("a dent filled", scan, window(scan), without_dent(scan)),
        ("three columns erased", scan, window(scan), without_columns(scan)),
        ("an atom invented", scan, window(scan), with_an_atom(scan)),
        ("blurred by 2 px", cells, middle, ndimage.gaussian_filter(cells.clean, 2.0)),
        ("the truth itself", scan, window(scan), scan.clean),
    ]
    for name, sample, part, result in cases:
        noisy, harmed = sample.noisy[part], result[part]
        evidence = hush.judge(noisy, harmed)
        print(f"{name}: {evidence.status}: {evidence.verdict}")
        limits = contrast(sample.clean[part])
        pictures = shades(noisy, *limits), shades(harmed, *limits), marked(harmed, *limits, evidence)
        captions = "noisy", name, f"marked: {evidence.status}"
        path = args.out / f"{name.replace(' ', '-')}.webp"
        write_rows(path, [list(zip(captions, pictures, strict=True))])


if __name__ == "__main__":
    main()
