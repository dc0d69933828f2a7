"""Pictures side by side at one contrast, with their value ranges in words, so that no autoscaling hides anything."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from napari_hush.files import atomic_write
from napari_hush.inference.planes import Planes
from napari_hush.io.history import KEY, history_text, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

GAP = 8
CAPTION = 44
FONT_SIZE = 15


def write_panel(
    path: str | Path,
    images: Mapping[str, np.ndarray],
    *,
    residual: np.ndarray | None = None,
    title: str = "",
    history: Mapping[str, Any] | None = None,
) -> None:
    """Write a PNG with images side by side.

    Parameters
    ----------
    path : path
        Where to write.
    images : mapping of caption to ndarray, shape (Y, X) or (Y, X, 3)
        Drawn at one pixel per pixel and with the grey scale of the last one (the 0.5 and 99.5 percentiles).
    residual : ndarray, shape (Y, X) or (Y, X, 3), optional
        Drawn around mid-grey, with its own, stated scale: what the denoiser took away.
    title : str
        A line above.
    history : mapping, optional
        How it was made, JSON-able; kept in the file.
    """
    reference = np.asarray(list(images.values())[-1], np.float64)
    low, high = contrast(reference)
    pictures = [(grey(image, low, high), f"{name}\n{range_text(image)}") for name, image in images.items()]
    if residual is not None:
        width = float(np.nanpercentile(np.abs(_finite(residual)), 99.5)) or 1.0
        pictures.append((grey(residual, -width, width), f"noisy - denoised\nblack -{width:.4g}, white +{width:.4g}"))
    height = max(picture.shape[0] for picture, _ in pictures)
    width_px = sum(max(picture.shape[1], 180) + GAP for picture, _ in pictures) + GAP
    head = CAPTION + (FONT_SIZE + GAP if title else 0)
    canvas = Image.new("RGB", (width_px, height + head + GAP), (24, 26, 30))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(FONT_SIZE)
    if title:
        draw.text((GAP, GAP // 2), title, fill="white", font=font)
    x = GAP
    for picture, caption in pictures:
        draw.multiline_text((x, head - CAPTION + 2), caption, fill=(220, 220, 220), font=font, spacing=3)
        canvas.paste(Image.fromarray(picture), (x, head))
        x += max(picture.shape[1], 180) + GAP
    if history is None:
        atomic_write(path, png_bytes(canvas))
        return
    history = {**history, "written": time.time_ns()}
    atomic_write(path, png_bytes(canvas, history))
    stamp(Path(path), history)


def png_bytes(picture: Image.Image, history: Mapping[str, Any] | None = None) -> bytes:
    """A picture as the content of a PNG file, with its history if it has one."""
    buffer, notes = io.BytesIO(), PngInfo()
    if history is not None:
        notes.add_text(KEY, history_text(history))
    picture.save(buffer, format="PNG", pnginfo=notes)
    return buffer.getvalue()


def _finite(image: np.ndarray) -> np.ndarray:
    values = np.asarray(image, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def contrast(image: np.ndarray) -> tuple[float, float]:
    """Black and white for an image: its 0.5 and 99.5 percentiles."""
    values = _finite(image)
    if np.isnan(values).all():
        return 0.0, 1.0
    low, high = (float(v) for v in np.nanpercentile(values, (0.5, 99.5)))
    return (low, high) if high > low else (low, low + 1.0)


def range_text(image: np.ndarray) -> str:
    """The range and the mean of an image in words."""
    values = _finite(image)
    if np.isnan(values).all():
        return "no finite value"
    return f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}, mean {np.nanmean(values):.4g}"


def grey(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """An image as uint8 colours (Y, X, 3), black at ``low`` and below, white at ``high``; NaN is black."""
    values = np.nan_to_num((_finite(image) - low) / (high - low), nan=0.0)
    shades = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return shades if shades.ndim == 3 else np.repeat(shades[..., None], 3, axis=-1)


def middle_plane(data: Any, channel_axis: int | None) -> np.ndarray:
    """One plane for a picture: (Y, X), or (Y, X, 3) where there are three channels."""
    planes = Planes(data, channel_axis)
    index = tuple(n // 2 for n in planes.lead_shape)
    channels = list(range(planes.n_channels)) if planes.n_channels == 3 else [0]
    values = planes.read(index, channels, slice(None), slice(None)).astype(np.float64)
    return np.moveaxis(values, 0, -1) if len(channels) == 3 else values[0]
