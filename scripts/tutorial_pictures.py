"""Draw the pictures of the tutorials from the files that they leave.

    python benchmarks/tutorials.py --keep build/tutorials
    python scripts/tutorial_pictures.py build/tutorials

Images stand at one pixel per pixel and at one grey scale; what was taken away stands at its own. 32 greys keep them
light.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_hush.files import atomic_write
from napari_hush.io import read_image
from napari_hush.reports.panels import png_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "tutorials"
GAP, CAPTION, GREYS, FONT = 6, 22, 32, 14


@dataclass(frozen=True)
class Panel:
    """One image with its caption; without limits it is drawn from its 0.5 to its 99.5 percentile."""

    image: NDArray[np.generic]  # (Y, X), or (Y, X, 3) from 0 to 255
    caption: str
    limits: tuple[float, float] | None = None


def row(panels: Sequence[Panel]) -> Image.Image:
    """Panels side by side, captions above."""
    height = max(panel.image.shape[0] for panel in panels)
    width = sum(panel.image.shape[1] + GAP for panel in panels) + GAP
    canvas = Image.new("RGB", (width, height + CAPTION + GAP), "white")
    draw, font, x = ImageDraw.Draw(canvas), ImageFont.load_default(FONT), GAP
    for panel in panels:
        draw.text((x, 3), panel.caption, fill=(40, 40, 40), font=font)
        canvas.paste(Image.fromarray(_shown(panel)), (x, CAPTION))
        x += panel.image.shape[1] + GAP
    return canvas


def save(name: str, *rows: Sequence[Panel]) -> None:
    """Write rows of panels, one below the other."""
    pictures = [row(panels) for panels in rows]
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    y = 0
    for picture in pictures:
        sheet.paste(picture, (0, y))
        y += picture.height
    colours = 128 if any(panel.image.ndim == 3 for panels in rows for panel in panels) else 64
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.png"
    atomic_write(path, png_bytes(sheet.quantize(colours, dither=Image.Dither.NONE)))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def limits_of(*images: NDArray[np.generic]) -> tuple[float, float]:
    low, high = np.percentile(np.stack(images), (0.5, 99.5))
    return float(low), float(high)


def plane(path: Path) -> NDArray[np.generic]:
    return np.asarray(read_image(path).data)


def noisy_to_truth(
    noisy: NDArray[np.generic], denoised: NDArray[np.generic], truth: NDArray[np.generic]
) -> list[Panel]:
    """Scan, result, what was taken away, truth."""
    limits = limits_of(denoised, truth)
    taken = noisy - denoised
    width = float(np.percentile(np.abs(taken), 99.5))
    return [
        Panel(noisy, "noisy", limits),
        Panel(denoised, "denoised", limits),
        Panel(taken, f"taken away, ±{width:.2g}", (-width, width)),
        Panel(truth, "truth", limits),
    ]


def stem_with_dents(folder: Path) -> None:
    part = np.s_[90:290, 180:380]
    save("stem_dent", noisy_to_truth(*(plane(folder / f"{n}.tif")[part] for n in ("scan", "scan_denoised", "truth"))))


def train_your_own(folder: Path) -> None:
    part = np.s_[200:328, 150:278]
    names = {"scan": "noisy", "bundled": "stem", "adapted": "adapted", "pairs": "pairs"}
    blind = {"void": "noise2void", "noise": "noise2noise", "truth": "truth"}
    limits = limits_of(plane(folder / "truth.tif")[part])
    rows = [
        [Panel(plane(folder / f"{name}.tif")[part], caption, limits) for name, caption in row.items()]
        for row in (names, blind)
    ]
    save("train_own", *rows)


def low_dose_series(folder: Path) -> None:
    noisy, alone, together, truth = (
        plane(folder / f"{name}.tif")[0, :160, :160] for name in ("frames", "alone", "together", "truth")
    )
    limits = limits_of(truth)
    named = {"noisy": noisy, "alone": alone, "together": together, "truth": truth}
    save("series", [Panel(image, caption, limits) for caption, image in named.items()])


def tomography_volume(folder: Path) -> None:
    files = {"reconstruction": "recon.tif", "tomo": "single.zarr", "tomo-slices": "volume.zarr", "truth": "truth.tif"}
    images = {caption: plane(folder / name)[3, 16:176, 16:176] for caption, name in files.items()}
    limits = limits_of(images["truth"])
    save("tomography", [Panel(image, caption, limits) for caption, image in images.items()])


def fluorescence(folder: Path) -> None:
    part = np.s_[40:200, 40:200]
    names = ("cells", "cells_denoised", "truth")
    save("fluorescence", noisy_to_truth(*(plane(folder / f"{name}.tif")[part] for name in names)))


def medical(folder: Path) -> None:
    files = {"noisy": "tissue.png", "denoised": "tissue_denoised.tif", "truth": "tissue_truth.tif"}
    save("medical", [Panel(plane(folder / name), caption) for caption, name in files.items()])


def published_route(folder: Path) -> None:
    """Draw what benchmarks/published_route.py --pictures left in the folder."""
    part = np.s_[40:200, 40:200]
    with np.load(folder / "keras.npz") as stored:
        images = {name: stored[name][part] for name in stored.files}
    limits = limits_of(images["clean"])
    flat = images["TomoGAN 0 to 0.00392"]
    save(
        "route_keras",
        [
            Panel(images["noisy"], "noisy", limits),
            Panel(flat, "Keras, autoscaled"),
            Panel(flat / 255, "the same, not", limits),
            Panel(images["TomoGAN 0 to 255"] / 255, "Keras, 0 to 255", limits),
        ],
        [
            Panel(images["TomoGAN, hush.denoise"], "its weights, here", limits),
            Panel(images["general"], "general", limits),
            Panel(images["clean"], "truth", limits),
        ],
    )
    with np.load(folder / "cyclegan.npz") as stored:
        fields = {name: stored[name][:, 120:280, 120:280] for name in ("10", "4")}
    captions = ("perfect", "resized and back", "noisy, full size", "stem")
    save(
        "route_cyclegan",
        *([Panel(i, c, limits_of(f[0])) for i, c in zip(f, captions, strict=True)] for f in fields.values()),
    )


PICTURES: dict[str, Callable[[Path], None]] = {
    "stem-with-dents": stem_with_dents,
    "train-your-own": train_your_own,
    "low-dose-series": low_dose_series,
    "tomography-volume": tomography_volume,
    "fluorescence": fluorescence,
    "medical": medical,
    "published-route": published_route,
}


def _shown(panel: Panel) -> NDArray[np.uint8]:
    """Greys of 8 bits, of which few are used."""
    if panel.image.ndim == 3:
        return np.asarray(np.clip(panel.image, 0, 255), np.uint8)
    low, high = panel.limits or limits_of(panel.image)
    share = np.clip((np.nan_to_num(np.asarray(panel.image, float)) - low) / (high - low), 0, 1)
    greys = np.rint(np.rint(share * (GREYS - 1)) * 255 / (GREYS - 1)).astype(np.uint8)
    return np.repeat(greys[..., None], 3, axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of benchmarks/tutorials.py --keep")
    parser.add_argument("names", nargs="*", help="tutorials; all if none is given")
    arguments = parser.parse_args()
    for name, draw in PICTURES.items():
        if not arguments.names or name in arguments.names:
            draw(arguments.folder / name)


if __name__ == "__main__":
    main()
