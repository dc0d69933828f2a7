"""What the models are measured on: simulated fields with their truth, real images without, and the figures of each.

A field depends on its domain, condition and number alone. None was ever trained on: the seeds are used nowhere else.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import data, measure
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_hush.atoms.columns import find_atoms, match_atoms
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.metrics import mse, psnr, ssim
from napari_hush.fidelity.transfer import measure_columns, transfer
from napari_hush.fidelity.truth import RADIUS, VOID, compare_columns
from napari_hush.io import read_image
from napari_hush.synthesis import Scene, dead_leaves, random_scan_noise, random_scene
from napari_hush.synthesis.noise.registry import SparseAngles
from napari_hush.synthesis.pictures.phantoms import foam
from napari_hush.synthesis.pictures.slabs import foam_slab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SEED = 70_700
PERIODS = (5.5, 41.0)  # px
LATTICE = (
    "recall", "precision", "position_error", "vacancies_filled", "atoms_in_voids", "dent_depth_error", "lowpass_slope",
    "lattice_displacement", "phantom_lattice",
)  # fmt: skip
REAL = (
    "lattice_displacement", "phantom_lattice", "lowpass_slope", "lowpass_r", "lattice_gain", "columns_lost",
    "columns_new", "columns_moved",
)  # fmt: skip
PICTURES = (
    "camera", "coins", "moon", "page", "text", "clock", "brick", "grass", "gravel", "cell",
    "astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "retina",
)  # fmt: skip
NOISES = ("Gaussian 15", "Gaussian 25", "Gaussian 50", "Poisson-Gaussian", "salt and pepper")
LEAST_PORE = 12  # px
FLAT = 0.05  # of the mean: a field whose slow contrast is weaker has no low-pass slope
TELLING = 0.1  # standard error of a transfer; one that is less certain says nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """One noisy image, (Y, X) or (C, Y, X), and how results are judged: ``judge`` gives figures by name."""

    noisy: np.ndarray
    clean: np.ndarray | None
    judge: Callable[[np.ndarray], dict[str, float]]
    about: dict[str, float | str] = field(default_factory=dict)
    given: dict[str, np.ndarray] = field(default_factory=dict)  # results that need not be computed, by method
    volume: np.ndarray | None = None  # (Z, Y, X) around the noisy image, for models that see its neighbours
    slice: int = 0  # which of them it is


def lattice_field(dose: float, number: int, size: int) -> Field:
    """A lattice of any kind, scanned; ``dose`` in counts per pixel at image value 1."""
    scene = random_scene(np.random.default_rng([SEED, number]), shape=(size, size), period=PERIODS, lattice_share=1)
    scan = np.random.default_rng([SEED, number, 1])  # jitter, lag and so on do not depend on the dose
    noise = random_scan_noise(scan, dose=(dose, dose), period=scene.period)
    noisy = noise(scene.clean, np.random.default_rng([SEED, number, 2, int(1000 * dose)]))
    clean = scene.clean.astype(np.float64)
    assert scene.lattice is not None
    nearest = scene.lattice.nearest  # the detector's unit; all figures are in periods
    slow = ndimage.gaussian_filter(clean, scene.period)
    flat = float(slow.std()) < FLAT * float(slow.mean())  # the slope would be that of noise
    truth = {"positions": scene.positions, "vacancies": scene.vacancies, "transmission": scene.transmission}
    columns, cell = measure_columns(clean, nearest), scene.lattice.cell

    def figures(output: np.ndarray) -> dict[str, float]:
        found = judge(None, output, truth=clean, spacing=scene.period, **truth).as_dict()
        if nearest < 0.99 * scene.period:
            found |= compare_columns(clean, output, nearest, found=find_atoms(output, nearest), **truth).figures
            found["position_error"] *= nearest / scene.period
        chosen = {name: found[name] for name in LATTICE if name in found}
        if flat:
            chosen.pop("lowpass_slope", None)
        kept = transfer(measure_columns(output, nearest), columns, cell, spacing=nearest)
        if kept.position_error < TELLING:
            chosen["position_transfer"] = kept.positions
        if kept.height_error < TELLING:
            chosen["height_transfer"] = kept.heights
        return {"psnr": psnr(clean, output), "ssim": ssim(clean, output), **chosen}

    about = {"period": scene.period, "kind": scene.kind, "limit": position_limit(scene, dose)}
    return Field(noisy=noisy, clean=clean, judge=figures, about=about)


def position_limit(scene: Scene, dose: float) -> float:
    """Least rms error of the columns' positions per axis that counting allows without knowing more, in periods.

    The Cramer-Rao bound of a lone Gaussian column of n counts on a dark ground is sigma / sqrt(n) per axis; the mean
    square is taken over the columns that the detector sees in the truth.
    """
    lattice = scene.lattice
    assert lattice is not None
    y, x = np.rint(scene.positions).astype(int).T
    through = scene.transmission[y, x]
    seen = find_atoms(scene.clean.astype(np.float64), lattice.nearest)
    there = np.flatnonzero(through >= VOID)
    pairs = match_atoms(scene.positions[there], seen, RADIUS * lattice.nearest).pairs
    chosen = there[pairs[:, 0]]
    if not len(chosen):
        return float("nan")
    sigma = lattice.sigma * scene.period
    heights = through[chosen] * (1 - lattice.background) * lattice.basis[1][scene.species[chosen]]
    counts = dose * heights * 2 * np.pi * sigma**2
    return float(np.sqrt(np.mean(sigma**2 / counts))) / scene.period


def foam_field(angles: int, dose: float, number: int, size: int) -> Field:
    """A slice of foam from so many projections; ``dose`` in photons that a pixel of the slice gets from all of them."""
    clean = foam((size, size), rng=np.random.default_rng([SEED, number])).astype(np.float64)
    rng = np.random.default_rng([SEED, number, angles, int(1000 * dose)])
    noisy = SparseAngles(n_angles=angles, counts=dose * size / angles)(clean.astype(np.float32), rng)
    # What all projections give without any noise: the limit of the reconstruction itself.
    full = SparseAngles(n_angles=round(np.pi / 2 * size))(clean.astype(np.float32), rng)
    return Field(noisy=noisy, clean=clean, judge=partial(foam_figures, clean), given={"full": full})


def slab_field(angles: int, dose: float, number: int, size: int, *, end: bool, slices: int = 5) -> Field:
    """One of neighbouring slices of foam, 1 px apart, the middle or the first one; angles and dose as in foam_field."""
    clean = foam_slab((size, size), slices=slices, rng=np.random.default_rng([SEED, number, 5]))
    rng = np.random.default_rng([SEED, number, angles, int(1000 * dose), 5])
    volume = SparseAngles(n_angles=angles, counts=dose * size / angles).slab(clean, rng)
    z = 0 if end else slices // 2
    judged = partial(foam_figures, clean[z].astype(np.float64))
    return Field(noisy=volume[z], clean=clean[z].astype(np.float64), judge=judged, volume=volume, slice=z)


def foam_figures(clean: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """Of a slice of foam against its truth."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in clean.shape)
    solid = np.hypot(y[:, None], x) < 0.47 * min(clean.shape) - 2
    return {
        "psnr": psnr(clean, output),
        "ssim": ssim(clean, output),
        "mse": mse(clean, output),
        "lowpass_slope": slope(clean, output, 8),
        "edges_r": edge_correlation(clean, output),
        **pores(clean, output, solid),
    }


def tooth_field(folder: Path) -> Field:
    """A real slice from 30 projections; the reference, from 180, is noisy itself."""
    with np.load(folder / "tomo" / "tooth_slice0_recon.npz") as file:
        noisy, clean = file["sparse30"], file["full180"].astype(np.float64)

    def figures(output: np.ndarray) -> dict[str, float]:
        found = {"psnr": psnr(clean, output), "ssim": ssim(clean, output), "mse": mse(clean, output)}
        return {**found, "lowpass_slope": slope(clean, output, 8), "edges_r": edge_correlation(clean, output)}

    return Field(noisy=noisy, clean=clean, judge=figures)


def picture_field(condition: str, number: int, size: int) -> Field:
    """Dead leaves or one of scikit-image's pictures, 0 to 1, with one of `NOISES`."""
    images, noise = condition.split(", ")
    if images == "leaves":
        clean = dead_leaves((size, size), rng=np.random.default_rng([SEED, number])).astype(np.float64)
    else:
        clean = picture(PICTURES[number], size)
    rng = np.random.default_rng([SEED, number, NOISES.index(noise)])
    if noise.startswith("Gaussian"):
        noisy = clean + float(noise.split()[1]) / 255 * rng.standard_normal(clean.shape)
    elif noise == "Poisson-Gaussian":
        noisy = rng.poisson(30 * clean) / 30 + 5 / 255 * rng.standard_normal(clean.shape)
    else:
        hit = rng.random(clean.shape)
        noisy = np.where(hit < 0.025, 0.0, np.where(hit < 0.05, 1.0, clean))

    def figures(output: np.ndarray) -> dict[str, float]:
        planes = list(zip(clean.reshape(-1, *clean.shape[-2:]), output.reshape(-1, *clean.shape[-2:]), strict=True))
        options = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return {
            "psnr": float(peak_signal_noise_ratio(clean, output, data_range=1)),
            "ssim": float(np.mean([structural_similarity(a, b, **options) for a, b in planes])),
            "edges_r": float(np.mean([edge_correlation(a, b) for a, b in planes])),
            "lowpass_slope": float(np.mean([slope(a, b, 4) for a, b in planes])),
        }

    about = {"picture": PICTURES[number]} if images == "pictures" else {}
    return Field(noisy=noisy.astype(np.float32), clean=clean, judge=figures, about=about)


def picture(name: str, size: int) -> np.ndarray:
    """The middle of a picture that comes with scikit-image, (Y, X) or (3, Y, X), 0 to 1."""
    image = getattr(data, name)() / 255.0
    image = np.moveaxis(image[..., :3], -1, 0) if image.ndim == 3 else image
    return middle(image, size)


def middle(image: np.ndarray, size: int) -> np.ndarray:
    """The middle ``size`` x ``size`` px of (..., Y, X), or what there is."""
    starts = [max(n - size, 0) // 2 for n in image.shape[-2:]]
    y, x = (slice(start, start + size) for start in starts)
    return np.ascontiguousarray(image[..., y, x])


REAL_IMAGES: dict[str, tuple[str, str]] = {
    "dented": ("dented_haadf_upper.tif", "HAADF with a dent, lattice 12 px"),
    "SrTiO3": ("Tecnai_Osiris_SrTiO3.tif", "SrTiO3 [100], strong row jitter, 26 px"),
    "SrTiO3 .ser": ("16_STOimage_1.ser", "SrTiO3, 41 px"),
    "DyScO3": ("10_dso_8nm_none_none.png", "DyScO3, row jitter, 49 px"),
    "dumbbells": ("03_afterimage_8nm_crp.png", "dumbbells, 34 px"),
    "hexagonal": ("12219.png", "simulated, few counts, 24 px"),
}


def real_field(condition: str, folder: Path) -> Field:
    """The middle of a real image with a lattice, at most 512 px; the dented one in its full height, around its dent."""
    name = REAL_IMAGES[condition][0]
    image = np.asarray(read_image(folder / "stem" / name).data, np.float32)
    noisy = image[:, 269:781] if condition == "dented" else middle(image, 512)
    given = {}
    if condition == "SrTiO3":
        given["r_em"] = np.asarray(read_image(folder / "stem" / "Tecnai_Osiris_SrTiO3_r_em.tif").data, np.float64)

    def figures(output: np.ndarray) -> dict[str, float]:
        found = judge(noisy, output).as_dict()
        return {key: found[key] for key in REAL if key in found}

    return Field(noisy=np.ascontiguousarray(noisy), clean=None, judge=figures, given=given)


def slope(clean: np.ndarray, output: np.ndarray, sigma: float) -> float:
    """Slope of the output on the truth, both after a low-pass (px): 1 where slow contrast is kept."""
    a, b = (ndimage.gaussian_filter(image, sigma).ravel() for image in (clean, output.astype(np.float64)))
    a = a - a.mean()
    return float(a @ (b - b.mean())) / float(a @ a)


def edge_correlation(clean: np.ndarray, output: np.ndarray) -> float:
    """Correlation of the gradients' magnitudes (Gaussian derivatives of 1 px): edges kept, none made."""
    a, b = (ndimage.gaussian_gradient_magnitude(image.astype(np.float64), 1.0).ravel() for image in (clean, output))
    return float(np.corrcoef(a, b)[0, 1]) if b.std() > 0 else 0.0


def pores(clean: np.ndarray, output: np.ndarray, solid: np.ndarray) -> dict[str, float]:
    """Share of the true pores (%, 12 px or more) that the output shows with an overlap above 1/2, and pores invented.

    A pore is a connected part of the disc under half the solid's value. It is found where intersection over union with
    one of the output's is above 0.5, and invented where at most half of it is pore in truth.
    """
    labels = [measure.label((image < 0.4) & solid, connectivity=1) for image in (clean, output)]
    sizes = [np.bincount(label.ravel()) for label in labels]
    overlap = np.zeros((len(sizes[0]), len(sizes[1])))
    np.add.at(overlap, (labels[0].ravel(), labels[1].ravel()), 1)
    union = sizes[0][:, None] + sizes[1] - overlap
    large = [np.flatnonzero(size[1:] >= LEAST_PORE) + 1 for size in sizes]
    found = (overlap[1:, 1:] / union[1:, 1:] > 0.5).any(axis=1)[large[0] - 1]
    true = overlap[1:].sum(axis=0)[large[1]] / sizes[1][large[1]]
    return {
        "pores_found": 100 * float(found.mean()) if len(found) else float("nan"),
        "pores_invented": int(np.count_nonzero(true <= 0.5)),
    }


def cases(
    domain: str, doses: list[float], angles: list[int], fields: int, folder: Path | None
) -> Iterator[tuple[str, int]]:
    """All conditions and numbers of a domain, field by field."""
    if domain == "real":
        yield from ((name, 0) for name in REAL_IMAGES)
    elif domain == "general":
        for number in range(fields):
            for images in ("leaves", "pictures") if number < len(PICTURES) else ("leaves",):
                yield from ((f"{images}, {noise}", number) for noise in NOISES)
    elif domain == "volume":
        for number in range(fields):
            for n in angles:
                yield from ((f"{n} projections, dose {dose:g}", number) for dose in doses)
                yield from ((f"{n} projections, first slice, dose {dose:g}", number) for dose in doses)
    elif domain == "tomo":
        if folder is not None:
            yield "tooth", 0
        for number in range(fields):
            yield from ((f"{n} projections, dose {dose:g}", number) for n in angles for dose in doses)
    else:
        yield from ((f"{dose:g}", number) for number in range(fields) for dose in doses)


def make_field(domain: str, condition: str, number: int, size: int, folder: Path | None) -> Field:
    """Draw or read the field of a case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if domain == "stem":
            return lattice_field(float(condition), number, size)
        if domain == "general":
            return picture_field(condition, number, size)
        if condition == "tooth" or domain == "real":
            assert folder is not None
            return tooth_field(folder) if condition == "tooth" else real_field(condition, folder)
        if domain == "volume":
            few, dose = condition.split(" projections, ")[0], condition.rpartition("dose ")[2]
            return slab_field(int(few), float(dose), number, size, end="first slice" in condition)
        few, dose = condition.split(" projections, dose ")
        return foam_field(int(few), float(dose), number, size)
