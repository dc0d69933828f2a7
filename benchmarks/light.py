"""Fluorescence: real frames with their truth, and simulated confocal images of few counts; Markdown tables.

    python benchmarks/light.py --data FOLDER [--model FILE ...] [--with n2v n2v2 --careamics PYTHON]
    python benchmarks/light.py --table

FOLDER holds ``light/NAME_1frame.tif`` and ``light/NAME_400frames.tif`` (five widefield fields of W2S, 8-bit copies of
one frame and of the mean of 400); without ``--data`` it is that of NAPARI_HUSH_DATA, and without that only what is
simulated is measured. Every figure of every field is a line of ``--json``; started again, it computes what is missing.

The mean is matched to the frame by a line (least squares), and each result to that truth before PSNR and SSIM, since
no method knows the other copy's scale ("affine"). Their range is that from percentile 0.1 to 99.9 of the truth. The
Gaussian filter has the best of 20 widths for each image, chosen with the truth: an oracle. BM3D is told the noise's
true standard deviation; stabilised it is told the true line of the variance in the simulated images, and measures
it on the noisy image itself in the real ones. Models are told nothing.

Verdict and support are what `hush.judge` says of noisy image and result, without the truth. *Without support* is the
share of the power of a result's detail, in the bands of 1 to 2 px and of 2 to 4 px, that the data carry with less than
two standard deviations of the noise.

Simulated fields are cells and filaments in turn, blurred by a Gaussian of 1 to 2 px, on a ground of 3 % of the
peak, with nothing but the noise of counting; the counts are those at the peak. `general` was trained on such cells and
filaments among much else, drawn with other seeds.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import Counter
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

import napari_hush as hush
from fields import SEED, Field, middle
from napari_hush.io import read_image
from napari_hush.residual.support import CARRIED
from napari_hush.synthesis.pictures.phantoms import cells, filaments
from quality import append_line, key, print_table, read_lines, spread
from rivals import (
    CAREAMICS_HELP,
    LEARNING,
    METHODS,
    Training,
    available,
    find_careamics,
    model_method,
    what_is_missing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Line = dict[str, Any]

SHOWN = ("noisy", "gaussian", "bm3d", "bm3d_vst")
REAL = "W2S "
GROUND = 0.03  # of the peak


def light_field(noisy: np.ndarray, truth: np.ndarray, told: np.ndarray | None) -> Field:
    """A noisy image (Y, X) with its truth in the same unit; ``told`` is what a stabilised BM3D hears of the truth."""
    low, high = np.percentile(truth, [0.1, 99.9])

    def figures(output: np.ndarray) -> dict[str, Any]:
        slope, level = np.polyfit(output.ravel(), truth.ravel(), 1) if np.ptp(output) > 0 else (0.0, truth.mean())
        matched, span = slope * output + level, float(high - low)
        options = {"data_range": span, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        found = {
            "psnr": float(10 * np.log10(span**2 / np.mean((matched - truth) ** 2))),
            "ssim": float(structural_similarity(truth, matched, **options)),
        }
        evidence = hush.judge(noisy, output)
        if evidence.support is not None:
            for scale, detail, value in zip(
                evidence.support.scales, evidence.support.detail, evidence.support.value, strict=True
            ):
                power = detail.astype(np.float64) ** 2
                if scale <= 2 and power.sum() > 0:
                    found[f"unsupported_{scale:g}"] = 100 * float(power[value < CARRIED].sum() / power.sum())
        return {**found, "verdict": evidence.status}

    return Field(noisy=noisy, clean=truth, judge=figures, given={} if told is None else {"told": told})


def simulated(peak: float, number: int, size: int) -> Field:
    """Cells or filaments as a confocal microscope counts them; ``peak`` in counts per pixel."""
    rng = np.random.default_rng([SEED, 3, number])
    draw = filaments if number % 2 else cells
    sharp = np.asarray(draw((size, size), rng=rng), np.float64)
    blurred = ndimage.gaussian_filter(sharp, rng.uniform(1, 2))
    truth = peak * (GROUND + (1 - GROUND) * blurred / blurred.max())
    noisy = np.random.default_rng([SEED, 4, number, int(1000 * peak)]).poisson(truth)
    return light_field(noisy.astype(np.float64), truth, truth)


def real(folder: Path, name: str, part: int = 0) -> Field:
    """One frame, and the mean of 400 brought to its scale by a line; of their middle ``part`` px, 0 for all."""
    noisy, mean = (
        np.asarray(read_image(folder / f"{name}_{frames}.tif").data, np.float64) for frames in ("1frame", "400frames")
    )
    if part:
        noisy, mean = middle(noisy, part), middle(mean, part)
    slope, level = np.polyfit(mean.ravel(), noisy.ravel(), 1)
    return light_field(noisy, slope * mean + level, None)


def make_methods(
    models: Iterable[str], training: Training | None, also: Iterable[str]
) -> dict[tuple[str, str], Callable[[Field], np.ndarray]]:
    """All that run here, by name and variant."""
    rivals = available(training)
    wanted = [*SHOWN, *also]
    missing = [name for name in wanted if name not in rivals]
    if missing:
        print(what_is_missing(missing), flush=True)

    def rival(name: str, field: Field) -> np.ndarray:
        assert field.clean is not None
        truth = field.given.get("told") if name == "bm3d_vst" else field.clean
        return np.asarray(rivals[name](field.noisy, truth, float(np.std(field.noisy - field.clean))), np.float64)

    methods: dict[tuple[str, str], Callable[[Field], np.ndarray]] = {}
    for name in wanted:
        if name in rivals:
            methods[name, str(training) if name in LEARNING else ""] = partial(rival, name)
    for source in models:
        model = hush.load_model(source)
        weights = b"".join(tensor.numpy().tobytes() for tensor in model.network.state_dict().values())
        methods["model", f"{Path(source).stem} {sha256(weights).hexdigest()[:8]}"] = model_method(model, "auto")
    return methods


def measure(
    path: Path,
    methods: dict[tuple[str, str], Callable[[Field], np.ndarray]],
    fields: Iterable[tuple[str, int, int, Callable[[], Field]]],
) -> None:
    """Compute every line that is missing, and append it to the file."""
    done = {key(line) for line in read_lines(path)}
    for condition, number, size, make in fields:
        case = {"domain": "light", "condition": condition, "field": number, "size": size}
        field = None
        for method, variant in methods:
            if key({**case, "method": method, "variant": variant}) in done:
                continue
            field = field or make()
            begin = time.perf_counter()
            output = methods[method, variant](field)
            seconds = time.perf_counter() - begin
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                figures = field.judge(np.asarray(output, np.float64))
            line = {**case, "method": method, "variant": variant, "seconds": round(seconds, 2)}
            append_line(path, {**line, "figures": figures, "about": {}})
            print(f"{condition} #{number} {method} {variant}: {figures['psnr']:.2f} dB, {seconds:.0f} s", flush=True)


def print_tables(lines: list[Line]) -> None:
    """Print what was measured: real and simulated fields apart, methods down, fields or counts across."""
    order = list(METHODS)
    methods = sorted({(line["method"], line["variant"]) for line in lines}, key=lambda m: (order.index(m[0]), m[1]))
    firsts = Counter((method, variant.split()[0]) for method, variant in methods if variant)
    conditions = list(dict.fromkeys(line["condition"] for line in lines))
    for group in (True, False):
        chosen = sorted(
            (c for c in conditions if c.startswith(REAL) == group), key=lambda c: c if group else float(c.split()[0])
        )
        if not chosen:
            continue
        fields = max(sum(line["condition"] == c and line["method"] == "noisy" for line in lines) for c in chosen)
        what = "real fields" if group else f"simulated, counts at the peak, {fields} fields each"
        tables: dict[str, list[list[str]]] = {"affine PSNR, dB": [], "SSIM": [], "verdict; without support, %": []}
        for method, variant in methods:
            name = (variant.split() or [""])[0]
            title = METHODS[method].format(name) + (f" ({variant})" if firsts[method, name] > 1 else "")
            rows: dict[str, list[str]] = {table: [] for table in tables}
            for condition in chosen:
                found = [
                    line["figures"]
                    for line in lines
                    if (line["condition"], line["method"], line["variant"]) == (condition, method, variant)
                ]
                rows["affine PSNR, dB"].append(spread((f["psnr"] for f in found), ".2f"))
                rows["SSIM"].append(spread((f["ssim"] for f in found), ".3f"))
                rows["verdict; without support, %"].append(_verdicts(found))
            for table, cells_of_row in rows.items():
                if any(cell != "-" for cell in cells_of_row):
                    tables[table].append([title, *cells_of_row])
        for table, table_rows in tables.items():
            print_table(
                [f"{table}, {what}", *(c.removeprefix(REAL).removesuffix(" counts") for c in chosen)], table_rows
            )
    timed = {m: [line["seconds"] for line in lines if (line["method"], line["variant"]) == m] for m in methods if m[0]}
    print("Seconds per field: " + ", ".join(f"{' '.join(m).strip()} {np.mean(s):.2g}" for m, s in timed.items()))


def _verdicts(found: list[dict[str, Any]]) -> str:
    """How often each verdict, and the share without support in both bands."""
    if not found:
        return "-"
    counts = Counter(figures["verdict"] for figures in found)
    words = ", ".join(f"{n} {word}" if len(found) > 1 else word for word, n in counts.items())
    shares = []
    for name in ("unsupported_1", "unsupported_2"):
        values = [figures[name] for figures in found if name in figures]
        shares.append(f"{np.mean(values):.0f}" if values else "-")
    return f"{words}; {' / '.join(shares)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NAPARI_HUSH_DATA"), help="folder of real images")
    parser.add_argument("--model", nargs="+", default=[], metavar="FILE", help="further models beside general")
    parser.add_argument("--doses", type=float, nargs="+", default=[1, 3, 10, 20], help="counts at the peak")
    parser.add_argument("--fields", type=int, default=3, help="simulated, per dose")
    parser.add_argument("--size", type=int, default=256, help="side of a simulated field, px")
    parser.add_argument("--part", type=int, default=0, help="only the middle of real fields, side in px; 0 for all")
    parser.add_argument("--with", dest="also", nargs="+", choices=LEARNING, default=[], help="trained on each image")
    parser.add_argument("--careamics", help=f"{CAREAMICS_HELP}; by default this one")
    parser.add_argument("--n2v-steps", type=int, default=2000, help="per image; the first limit reached counts")
    parser.add_argument("--n2v-seconds", type=int, default=120, help="of training per image")
    parser.add_argument("--json", type=Path, default=Path("build", "light.jsonl"))
    parser.add_argument("--table", action="store_true", help="only print the tables")
    args = parser.parse_args()
    if not args.table:
        python = find_careamics(args.careamics) if args.also else None
        training = Training(python=python, steps=args.n2v_steps, seconds=args.n2v_seconds) if python else None
        folder = Path(args.data, "light") if args.data else None
        names = sorted(path.name.removesuffix("_1frame.tif") for path in folder.glob("*_1frame.tif")) if folder else []
        if folder is None or not names:
            print(
                f"no real fields ({folder or 'neither --data nor NAPARI_HUSH_DATA'}): only simulated ones", flush=True
            )
        fields: list[tuple[str, int, int, Callable[[], Field]]] = [
            (f"{dose:g} counts", number, args.size, partial(simulated, dose, number, args.size))
            for number in range(args.fields)
            for dose in args.doses
        ]
        if folder is not None:
            fields += [
                (REAL + name.removeprefix("w2s_"), 0, args.part, partial(real, folder, name, args.part))
                for name in names
            ]
        measure(args.json, make_methods(["general", *args.model], training, args.also), fields)
    lines = read_lines(args.json)
    if not lines:
        parser.error(f"{args.json} holds no figures: run this without --table first")
    print_tables(lines)


if __name__ == "__main__":
    main()
