"""How well the atom detector finds columns that are known: Markdown tables.

    python benchmarks/detector.py [--fields 60] [--size 320] [--first 0] [--list] [--experts IMAGE.tif POINTS.csv]

Clean fields: `random_scene` with a lattice of 5.5 to 41 px, without and with dents, searched with the lattice period as
the spacing and with the distance of nearest columns. A true column counts where at least half transmits, 1.25 spacings
inside the image. It is *faint* where the detector's g is under 1.1 thresholds there, and *merged* where g, smoothly
interpolated, has no top of its own within 0.25 periods that is 0.33 spacings from others and 2 % of the 99.5th
percentile above the ground between; neither can be found by definition. *Extra*: found, and without a true column of
any transmission within 0.25 periods. Position errors (rms of the distance, not per axis) are in periods, also for
columns on even ground, where the transmission changes by less than 1 % per column sigma: on a slope the bright spot is
not at the column.

Noisy fields: ten, raw and denoised with the bundled model, searched with the period; columns that cannot be found in
the clean field do not count. Experts: an image of single atoms with a table of X, Y in px; the spacing is the median
distance of nearest atoms, the radius a third of it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush import denoise
from napari_hush.atoms.columns import fit_atoms, match_atoms
from napari_hush.io import read_image
from napari_hush.synthesis import Scene, random_scan_noise, random_scene

RADIUS = 0.25  # periods
HEAD = "| columns | faint | merged | missed | recall | found | extra | precision | rms / a | on even ground |"


def scene(seed: int, size: int, dents: float) -> Scene:
    return random_scene(
        np.random.default_rng([5, seed]), shape=(size, size), period=(5.5, 41.0), lattice_share=1.0, dent_share=dents
    )


def tops(field: Scene, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Say which columns (N,) are too faint, and which have no maximum of the smooth g to themselves."""
    clean = field.clean.astype(np.float64)
    g = ndimage.gaussian_filter(clean, 0.15 * spacing) - ndimage.gaussian_filter(clean, 0.7 * spacing)
    unit = np.percentile(g, 99.5)
    spline = ndimage.spline_filter(g, order=5, mode="mirror")

    def height(points: np.ndarray) -> np.ndarray:
        values = ndimage.map_coordinates(spline, points.reshape(-1, 2).T, order=5, mode="mirror", prefilter=False)
        return values.reshape(points.shape[:-1])

    places = field.positions.copy()
    around = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
    for step in (0.04 * spacing, 0.01 * spacing):  # uphill
        for _ in range(30):
            best = height(places[:, None] + step * around).argmax(axis=1)
            places += step * around[best]
    top = height(places)
    merged = np.hypot(*(places - field.positions).T) > RADIUS * field.period
    pairs = cKDTree(places).query_pairs(spacing, output_type="ndarray")
    a, b = places[pairs[:, 0]], places[pairs[:, 1]]
    between = height(a[:, None] + (b - a)[:, None] * np.linspace(0, 1, 15)[:, None]).min(axis=1)
    flat = np.minimum(*top[pairs.T]) - between < 0.02 * unit
    merged[pairs[flat | (np.hypot(*(a - b).T) < 0.33 * spacing)].ravel()] = True
    return top < 1.1 * 0.2 * unit, merged


def counted(field: Scene, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Say which columns (N,) count, and which of them stand on even ground."""
    y, x = np.rint(field.positions).astype(int).T
    inner = field.positions.min(axis=1) > 1.25 * spacing
    inner &= (np.array(field.clean.shape) - 1 - field.positions).min(axis=1) > 1.25 * spacing
    slope = np.hypot(*np.gradient(np.log(np.maximum(field.transmission, 1e-3))))
    return inner & (field.transmission[y, x] >= 0.5), slope[y, x] * field.lattice.sigma * field.period < 0.01


def score(field: Scene, image: np.ndarray, spacing: float) -> dict[str, np.ndarray | int]:
    counts, even = counted(field, spacing)
    faint, merged = tops(field, spacing)
    atoms = fit_atoms(image, spacing)
    matches = match_atoms(field.positions, atoms.positions, RADIUS * field.period)
    distance = np.full(len(counts), np.inf)
    distance[matches.pairs[:, 0]] = matches.distances / field.period
    visible = counts & ~faint & ~merged
    met = visible & np.isfinite(distance)
    return {
        "columns": counts.sum(), "faint": (counts & faint).sum(), "merged": (counts & merged & ~faint).sum(),
        "visible": visible.sum(), "missed": (visible & ~met).sum(), "found": len(atoms.positions),
        "extra": len(matches.extra), "errors": distance[met], "even": distance[met & even],
    }  # fmt: skip


def row(scores: list[dict]) -> str:
    total = {
        k: sum(s[k] for s in scores) for k in ("columns", "faint", "merged", "visible", "missed", "found", "extra")
    }
    errors = [np.concatenate([s[k] for s in scores]) for k in ("errors", "even")]
    rms = [f"{np.sqrt(np.mean(e**2)):.4f}" if len(e) else "-" for e in errors]
    recall = 1 - total["missed"] / max(total["visible"], 1)
    precision = 1 - total["extra"] / max(total["found"], 1)
    return (
        f"| {total['columns']} | {total['faint']} | {total['merged']} | {total['missed']} | {recall:.4f} "
        f"| {total['found']} | {total['extra']} | {precision:.4f} | {rms[0]} | {rms[1]} |"
    )


def clean_fields(seeds: range, size: int, dents: float, every: bool) -> None:
    for name in ("period", "nearest columns"):
        kinds: dict[str, list[dict]] = {}
        print(f"\nClean fields {'with' if dents else 'without'} dents, spacing = {name}:\n\n| lattice {HEAD}")
        print("|---" * HEAD.count("|") + "|")
        for seed in seeds:
            field = scene(seed, size, dents)
            result = score(field, field.clean, field.period if name == "period" else field.lattice.nearest)
            kinds.setdefault(field.kind, []).append(result)
            if every:
                lattice = field.lattice
                words = f"{seed}: {field.kind} {field.period:.1f} px, sigma {lattice.sigma:.2f}"
                print(f"| {words}, second {lattice.sublattice:.2f} {row([result])}")
        for kind, scores in sorted(kinds.items()):
            print(f"| {kind} {row(scores)}")
        print(f"| all {row([s for scores in kinds.values() for s in scores])}")


def noisy_fields(size: int) -> None:
    print(f"\nTen noisy fields with dents, spacing = period:\n\n| dose, image {HEAD}")
    print("|---" * HEAD.count("|") + "|")
    for dose in (10.0, 50.0):
        raw, denoised = [], []
        for seed in range(10):
            field = scene(1000 + seed, size, 0.7)
            noise = random_scan_noise(np.random.default_rng([6, seed]), dose=(dose, dose), period=field.period)
            noisy = noise(field.clean, np.random.default_rng([7, seed]))
            raw.append(score(field, noisy, field.period))
            denoised.append(score(field, np.asarray(denoise(noisy, "stem")), field.period))
        print(f"| {dose:g}, raw {row(raw)}\n| {dose:g}, denoised {row(denoised)}")


def experts(image: Path, points: Path) -> None:
    pixels = np.asarray(read_image(image).data)
    known = np.loadtxt(points, delimiter=",", skiprows=1)[:, ::-1]
    spacing = float(np.median(cKDTree(known).query(known, k=2)[0][:, 1]))
    inner = (known.min(axis=1) > 1.25 * spacing) & ((np.array(pixels.shape) - 1 - known).min(axis=1) > 1.25 * spacing)
    print(f"\n{image.name}, {len(known)} atoms marked, spacing {spacing:.1f} px, radius {spacing / 3:.1f} px:\n")
    head = "| image | marked, inside | recall | found | precision | mean shift y, x | rms, px |"
    print(head + "\n" + "|---" * (head.count("|") - 1) + "|")
    for name, plane in (("raw", pixels), ("denoised", np.asarray(denoise(pixels, "stem")))):
        found = fit_atoms(plane, spacing).positions
        matches = match_atoms(known, found, spacing / 3)
        met = np.isin(np.flatnonzero(inner), matches.pairs[:, 0])
        shift = found[matches.pairs[:, 1]] - known[matches.pairs[:, 0]]
        mean = ", ".join(f"{s:.2f}" for s in shift.mean(axis=0))
        rms = np.sqrt(np.mean(matches.distances**2))
        figures = f"{met.mean():.3f} | {len(found)} | {matches.precision:.3f} | {mean} | {rms:.2f}"
        print(f"| {name} | {inner.sum()} | {figures} |")


def speed() -> None:
    field = random_scene(3, shape=(1024, 1024), period=(10.0, 10.0), lattice_share=1.0, dent_share=0.0)
    noisy = random_scan_noise(0, dose=(10, 10), period=10.0)(field.clean, np.random.default_rng(0))
    for name, image in (("clean", field.clean), ("noisy", noisy)):
        start = time.perf_counter()
        atoms = fit_atoms(image, field.period)
        middle = time.perf_counter()
        match_atoms(field.positions, atoms.positions, RADIUS * field.period)
        end = time.perf_counter()
        print(
            f"{name}, 1024 x 1024 px, {len(atoms.fitted)} columns: {middle - start:.2f} s, match {end - middle:.2f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="seed of the first field")
    parser.add_argument("--size", type=int, default=320, help="px")
    parser.add_argument("--list", action="store_true", help="list every field")
    parser.add_argument("--experts", nargs=2, type=Path, metavar=("IMAGE", "POINTS"))
    args = parser.parse_args()
    for dents in (0.0, 1.0):
        clean_fields(range(args.first, args.first + args.fields), args.size, dents, args.list)
    noisy_fields(args.size)
    if args.experts:
        experts(*args.experts)
    print()
    speed()


if __name__ == "__main__":
    main()
