"""Is the residual calibrated, does harm show, and what does the guard cost? Markdown tables.

    python benchmarks/calibration.py [--seeds 2] [--side 256] [--light FOLDER]

The truth itself is judged by its noisy image: what was taken away is then nothing but noise, and its standard deviation
at every scale should be 1. Six pictures (three lattices, cells, foam, dead leaves), each with every noise. Then results
that were harmed on purpose, of which none may pass. With --light also real noise with real truth: files
``NAME_1frame.tif`` and ``NAME_400frames.tif``, the mean of the frames, matched to the frame by a line.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

import napari_hush as hush
from napari_hush.fidelity.findings import finding, overall
from napari_hush.io import read_image
from napari_hush.residual.compare import compare_residual
from napari_hush.residual.give_back import GiveBack, measure_give_back
from napari_hush.synthesis import dead_leaves, random_scan_noise, random_scene
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    Gaussian,
    Noise,
    Poisson,
    Quantisation,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
    Speckle,
)
from napari_hush.synthesis.pictures.phantoms import cells
from napari_hush.synthesis.pictures.slices import foam

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.residual.compare import Residual

COMMON = 5  # scales, 1 to 4 px: at larger ones a field of 256 px has too few independent places for a figure


class Grain:
    """Gaussian noise through a Gaussian of some width, px."""

    def __init__(self, sigma: float, width: float) -> None:
        self.sigma, self.width = sigma, width

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        grain = ndimage.gaussian_filter(rng.normal(size=image.shape), self.width)
        return np.asarray(image + self.sigma * grain / grain.std(), np.float32)


class Clip:
    """8 bits of a range that the image leaves."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        share = np.clip((image - self.low) / (self.high - self.low), 0, 1)
        return np.asarray(np.rint(255 * share) / 255 * (self.high - self.low) + self.low, np.float32)


def chain(*noises: object) -> Compose:
    return Compose(noises=noises)  # type: ignore[arg-type]


NOISES: dict[str, Noise | None] = {
    **{f"Poisson, dose {dose:g}": Poisson(dose=dose) for dose in (0.5, 2, 5, 20, 100, 500)},
    "readout 0.1": Readout(sigma=0.1),
    "readout 0.5": Readout(sigma=0.5),
    "speckle 0.3": Speckle(sigma=0.3),
    "Poisson 20, readout 0.1": chain(Poisson(dose=20), Readout(sigma=0.1)),
    "Poisson 20, lag 0.2": chain(RowJitter(rms=0, advance=0.25), Poisson(dose=20), DetectorLag(correlation=0.2)),
    "Poisson 20, lag 0.45": chain(RowJitter(rms=0, advance=0.818), Poisson(dose=20), DetectorLag(correlation=0.45)),
    "Poisson 20, row offsets": chain(Poisson(dose=20), RowOffsets(sigma=0.1, correlation=0.5)),
    "Poisson 50, 8 bit": chain(Poisson(dose=50), Quantisation(levels=255)),
    "Gaussian 0.05, 24 levels": chain(Gaussian(sigma=0.05), Quantisation(levels=24)),
    "Poisson 50, salt and pepper 0.3 %": chain(Poisson(dose=50), SaltPepper(fraction=0.003)),
    "clipped at 0": chain(Gaussian(sigma=0.15), Clip(0, 3)),
    "clipped at both ends": chain(Gaussian(sigma=0.2), Clip(0, 1)),
    "grain of 0.8 px": Grain(0.15, 0.8),
    "grain of 1.5 px": Grain(0.15, 1.5),
    "a whole scan, dose 3 to 500": None,
}


def pictures(side: int, seed: int) -> dict[str, tuple[np.ndarray, float | None]]:
    """Clean pictures, 0.05 to 1, and the period of those that have one."""
    found: dict[str, tuple[np.ndarray, float | None]] = {}
    for k, period in enumerate(((6.0, 8.0), (10.0, 13.0), (18.0, 24.0))):
        scene = random_scene(
            np.random.default_rng([17, seed, k]), shape=(side, side), period=period, lattice_share=1.0, dent_share=0.5
        )
        found[f"lattice, {scene.period:.0f} px"] = scene.clean, scene.period
    found["cells"] = cells((side, side), rng=seed), None
    found["foam"] = foam((side, side), rng=seed), None
    found["leaves"] = dead_leaves((side, side), rng=seed), None
    for name, (image, spacing) in found.items():
        image = np.asarray(image, np.float64)
        found[name] = 0.05 + 0.95 * (image - image.min()) / (np.percentile(image, 99.8) - image.min()), spacing
    return found


def harms(noisy: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Results that must not pass."""
    smooth = ndimage.gaussian_filter
    side = truth.shape[0]
    region, spots = truth.copy(), truth.copy()
    box = (slice(side // 4, side // 2),) * 2
    region[box] = smooth(truth, 12)[box]
    y, x = np.indices(truth.shape)
    rng = np.random.default_rng(side)
    for _ in range(10):
        at = rng.uniform(0.1, 0.9, 2) * side
        bell = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 1.5**2))
        spots += 5 * float((noisy - truth).std()) * bell
    texture = smooth(rng.normal(size=truth.shape), 1.0)
    return {
        "blurred, 3 px": smooth(truth, 3),
        "blurred, 5 px": smooth(truth, 5),
        "region smoothed": region,
        "10 spots of 5 sigma": spots,
        "half of the noise kept": 0.5 * (truth + noisy),
        "0.3 of the noise kept": 0.7 * truth + 0.3 * noisy,
        "texture of 0.6 sigma": truth + 0.6 * (noisy - truth).std() * texture / texture.std(),
        "the noisy image itself": noisy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--side", type=int, default=256, help="px")
    parser.add_argument("--light", type=Path, help="folder of real pairs")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning, module="napari_hush")
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    cost: list[float] = []
    print("| noise | calibrated | std of z, 1 to 4 px | outside 0.9 to 1.1 | false alarms | support right |")
    print("|---|---|---|---|---|---|")
    total = alarms = doubtful = 0
    for name, noise in NOISES.items():
        rows, known, outside, wrong, right, claimed, count = [], 0, 0, 0, 0, 0, 0
        for seed in range(args.seeds):
            for number, (truth, spacing) in enumerate(pictures(args.side, seed).values()):
                if noise is None and spacing is None:
                    continue
                rng = np.random.default_rng([23, seed, number])
                chosen = noise or random_scan_noise(rng, dose=(3, 500), period=spacing or 12.0)
                noisy = np.asarray(chosen(truth.astype(np.float32), rng), np.float64)
                found, support = compare_residual(noisy, truth, spacing=spacing)
                count += 1
                if not found.calibrated:
                    continue
                known += 1
                spread = found.z[:COMMON].std(axis=(1, 2))
                rows += spread.tolist()
                outside += bool(spread.min() < 0.9 or spread.max() > 1.1)
                said = verdict(found)
                wrong += said == "fail"
                doubtful += said == "warn"
                if support is not None:
                    a, b = support_right(truth, support)
                    right, claimed = right + a, claimed + b
                give = measure_give_back([noisy], noisy.size)
                if isinstance(give, GiveBack):
                    cost.append(loss(give, noisy, truth))
                for harm, image in harms(noisy, truth).items() if seed == 0 else ():
                    statuses[harm][verdict(compare_residual(noisy, image, spacing=spacing)[0])] += 1
        total, alarms = total + known, alarms + wrong
        text = f"{np.median(rows):.2f} ({min(rows):.2f} to {max(rows):.2f})" if rows else "-"
        share = f"{100 * right / claimed:.1f} %" if claimed else "-"
        print(f"| {name} | {known} of {count} | {text} | {outside} | {wrong} | {share} |", flush=True)
    print(f"\nfalse alarms: {alarms} of {total} ({100 * alarms / max(total, 1):.1f} %), {doubtful} warnings")
    print(
        f"what the guard costs a truth that was blurred by its own noise level, dB, worst: {max(cost, default=0):.3f}\n"
    )
    print_harms(statuses)
    if args.light is not None:
        light(args.light)


def support_right(truth: np.ndarray, support: object) -> tuple[int, int]:
    """Pixels in which a detail with a support of 2 has the sign of the truth, and all such pixels."""
    right = claimed = 0
    for scale, detail, value in zip(support.scales, support.detail, support.value, strict=True):  # type: ignore[attr-defined]
        true = ndimage.gaussian_filter(truth, scale) - ndimage.gaussian_filter(truth, 2 * scale)
        sure = value >= 2
        claimed += int(sure.sum())
        right += int((np.sign(true[sure]) == np.sign(detail[sure])).sum())
    return right, claimed


def loss(give: GiveBack, noisy: np.ndarray, truth: np.ndarray) -> float:
    """Of PSNR, dB, by giving back to a good result: the truth with a tenth of its noise, smoothed."""
    good = truth + 0.3 * ndimage.gaussian_filter(noisy - truth, 2)
    before, after = (float(((image - truth) ** 2).mean()) for image in (good, give(noisy, good)[0]))
    return 10 * float(np.log10(after / before))


def verdict(found: Residual) -> str:
    """What the residual alone says."""
    if found.kept > 0.1:
        return "warn"
    if not found.calibrated:
        return "open"
    judged = [finding(f"{name}_detail", getattr(found, name), found.threshold) for name in ("missing", "contradicted")]
    judged += [finding("residual_spread", found.spread), finding("detail_lost", 100 * found.lost)]
    return overall(judged)


def print_harms(statuses: dict[str, Counter[str]]) -> None:
    print("| harm | fail | warning | no verdict | passes |\n|---|---|---|---|---|")
    for harm, found in statuses.items():
        print(f"| {harm} | {found['fail']} | {found['warn']} | {found['open']} | {found['pass']} |")


def light(folder: Path) -> None:
    """The same on real pairs, with the whole verdict."""
    print(
        "\n| field | std of z, 1 to 8 px | largest, smallest | truth | general | harmed: not passed |\n"
        "|---|---|---|---|---|---|"
    )
    judge: Callable[..., hush.Evidence] = hush.judge  # type: ignore[name-defined]
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(folder.glob("*_1frame.tif")):
        noisy = np.asarray(read_image(path).data, np.float64)
        mean = np.asarray(read_image(path.with_name(path.name.replace("1frame", "400frames"))).data, np.float64)
        truth = np.polyval(np.polyfit(mean.ravel(), noisy.ravel(), 1), mean)
        found, _ = compare_residual(noisy, truth)
        spread = found.z.std(axis=(1, 2))
        results = {harm: judge(noisy, image).status for harm, image in harms(noisy, truth).items()}
        results["wrong model (stem)"] = judge(noisy, hush.denoise(noisy, "stem", guard=False)).status
        for harm, status in results.items():
            statuses[harm][status] += 1
        good = judge(noisy, hush.denoise(noisy, "general"))
        caught = sum(status != "pass" for status in results.values())
        print(
            f"| {path.name[:-11]} | {spread.min():.2f} to {spread.max():.2f} | {found.missing:.1f}, "
            f"{-found.contradicted:.1f} (threshold {found.threshold:.1f}) | {judge(noisy, truth).status} | "
            f"{good.status} | {caught} of {len(results)} |"
        )
    print()
    print_harms(statuses)


if __name__ == "__main__":
    main()
