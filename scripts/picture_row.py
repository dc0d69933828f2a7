"""Pictures side by side under their captions, and rows of them, as the manual shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_hush.reports.panels import grey
from napari_hush.reports.pictures import FATES, FROM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.fidelity.verdict import Evidence

SIDE, GAP, HEAD = 300, 6, 26  # px
GROUND, INK = (24, 26, 30), (230, 230, 230)
PLACES = np.linspace(0, 1, 5)


def shades(image: np.ndarray, low: float, high: float) -> Image.Image:
    """An image (Y, X) in grey, `SIDE` px wide."""
    return _fit(grey(image, low, high))


def coloured(image: np.ndarray, low: float, high: float, colours: np.ndarray) -> Image.Image:
    """Values (Y, X) in five colours and what lies between them."""
    share = np.clip((image - low) / (high - low), 0, 1)
    picture = np.stack([np.interp(share, PLACES, channel) for channel in colours.T], axis=-1)  # (Y, X, 3)
    return _fit(np.rint(picture).astype(np.uint8))


def marked(image: np.ndarray, low: float, high: float, evidence: Evidence) -> Image.Image:
    """An image in grey with what stands out of its noise: orange missing, blue contradicted; columns are ringed."""
    picture = grey(image, low, high).astype(np.float64)
    found = evidence.residual
    if found.calibrated and found.z.size:
        above = found.threshold - FROM
        for deviation, colour in ((found.z.max(axis=0), (255, 140, 0)), (-found.z.min(axis=0), (60, 150, 255))):
            strength = 0.85 * np.clip((deviation - FROM) / above, 0, 1)[..., None]
            picture = picture * (1 - strength) + np.array(colour) * strength
    canvas = _fit(np.rint(picture).astype(np.uint8))
    draw, factor = ImageDraw.Draw(canvas), SIDE / image.shape[1]
    size = factor * (evidence.spacing or 12.0) / 1.6
    for fate in ("lost", "new", "moved"):
        for y, x in getattr(evidence, fate) * factor:
            draw.ellipse((x - size, y - size, x + size, y + size), outline=FATES[fate], width=2)
    return canvas


def write_rows(path: Path, rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> None:
    """Write rows of (caption, picture) as one WebP or PNG; a PNG has 256 colours."""
    wide = max(len(row) for row in rows)
    height = SIDE + HEAD
    canvas = Image.new("RGB", (wide * (SIDE + GAP) - GAP, len(rows) * (height + GAP) - GAP), GROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for number, row in enumerate(rows):
        top = number * (height + GAP)
        for place, (caption, picture) in enumerate(row):
            left = place * (SIDE + GAP)
            draw.text((left + 4, top + 4), caption, fill=INK, font=font)
            canvas.paste(picture, (left, top + HEAD))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".webp":
        canvas.save(path, quality=85, method=6)
    else:
        canvas.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {canvas.width} x {canvas.height} px, {path.stat().st_size / 1000:.0f} kB")


def _fit(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
