"""The evidence as pictures: atom columns, displacements, maps and spectrum, drawn without a plotting library.

`PICTURES` lists what there is beside the images themselves; another one is one function and one line in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_hush.inference.planes import middle_part
from napari_hush.reports.panels import contrast, grey, png_bytes, range_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.fidelity.verdict import Evidence

MOST = 800  # px, side of a picture
LEAST = 480  # px; smaller images are enlarged by a whole number, so that marks have room
DETAIL = 160  # px of the image that are shown enlarged
SHADES = 48  # of noise: more would only cost space
# colours that all kinds of colour vision tell apart (Okabe and Ito); each fate has its own shape as well
FATES = {"kept": "#56b4e9", "lost": "#ff5f1f", "new": "#f0e442", "moved": "#e377c2"}
SHAPES = {"kept": "circles", "lost": "crosses", "new": "diamonds", "moved": "triangles"}
ARROW = "#f0e442"
DIVERGING = np.array([[33, 102, 172], [146, 197, 222], [247, 247, 247], [253, 184, 99], [179, 88, 6]], float)
FROM = 3.0  # standard deviations: what stands out less is not shown
CARRIED = 5.0  # standard deviations: more support than that changes nothing
AROUND = 2.0  # scales
SEQUENTIAL = np.array([[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]], float)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a report.

    Parameters
    ----------
    title : str
        What it shows, in two or three words.
    caption : str
        Its scale in words, and how to read it.
    png : bytes
        The content of a PNG file.
    """

    title: str
    caption: str
    png: bytes


def pictures(evaluation: Evaluation) -> Iterator[Picture]:
    """Draw the evidence of the worst plane.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.

    Yields
    ------
    Picture
        Noisy, denoised and truth at one contrast; a detail of them; then those of `PICTURES` of which there is
        evidence.
    """
    images = evaluation.images
    low, high = contrast(images["denoised"])
    scale = f"black {low:.4g}, white {high:.4g}"
    for name, image in images.items():
        shades = SHADES if name == "noisy" else 256
        yield Picture(
            title=name.capitalize(), caption=f"{range_text(image)}; {scale}", png=_png(image, low, high, shades)
        )
    part, reason = _detail(evaluation)
    gap = np.full((part[0].stop - part[0].start, 3), high)
    row = np.concatenate([piece for image in images.values() for piece in (image[part], gap)][:-1], axis=1)
    where = f"y {part[0].start} to {part[0].stop}, x {part[1].start} to {part[1].stop} px"
    yield Picture(
        title="Detail: " + ", ".join(images), caption=f"{where}, {reason}; {scale}", png=_png(row, low, high, 256)
    )
    for draw in PICTURES.values():
        if (picture := draw(evaluation)) is not None:
            yield picture


def contrast_of_residual(residual: np.ndarray) -> float:
    """The value at the ends of a scale around zero: the 99.5 percentile of the magnitude, or 1."""
    values = np.abs(residual[np.isfinite(residual)])
    return (float(np.percentile(values, 99.5)) if values.size else 0.0) or 1.0


def _png(image: np.ndarray, low: float, high: float, shades: int) -> bytes:
    picture = grey(_fit(image), low, high)[..., 0]
    step = 255 / (shades - 1)
    return png_bytes(Image.fromarray(np.rint(np.rint(picture / step) * step).astype(np.uint8)))


def _factor(shape: tuple[int, ...]) -> float:
    """Pixels of the picture per pixel of the image: 1/n for large images, n for small ones."""
    side = max(shape)
    return 1 / -(-side // MOST) if side > MOST else float(max(-(-LEAST // side), 1))


def _fit(image: np.ndarray) -> np.ndarray:
    """An image (Y, X) at the size of its picture; averaged, not sampled, where it becomes smaller."""
    factor = _factor(image.shape)
    values = np.where(np.isfinite(image), image, np.nan)
    if factor < 1:
        from skimage.transform import downscale_local_mean  # slow to load

        n = round(1 / factor)
        whole = values[: values.shape[0] // n * n, : values.shape[1] // n * n]
        return np.asarray(downscale_local_mean(whole, (n, n)))  # type: ignore[no-untyped-call]
    return np.repeat(np.repeat(values, int(factor), axis=0), int(factor), axis=1)


def _colour(image: np.ndarray, low: float, high: float, colours: np.ndarray) -> bytes:
    """Values (Y, X) as a picture with a palette, which takes a third of the space; NaN is grey."""
    share = np.clip((_fit(image) - low) / (high - low), 0, 1)
    shades = np.where(np.isfinite(share), np.rint(np.nan_to_num(share) * (SHADES - 1)), SHADES).astype(np.uint8)
    at, places = np.linspace(0, 1, SHADES), np.linspace(0, 1, len(colours))
    palette = np.stack([np.interp(at, places, channel) for channel in colours.T], axis=-1)  # (SHADES, 3)
    picture = Image.fromarray(shades)
    picture.putpalette(np.rint(np.concatenate([palette, [[90, 90, 90]]])).astype(np.uint8).tobytes())
    return png_bytes(picture)


def _fates(evidence: Evidence) -> dict[str, np.ndarray]:
    return {fate: np.asarray(getattr(evidence, fate)).reshape(-1, 2) for fate in FATES}


def _detail(evaluation: Evaluation) -> tuple[tuple[slice, slice], str]:
    """Where the enlarged part lies: at the first failure, else the darkest place, else the middle."""
    fates, image = _fates(evaluation.evidence), evaluation.images["denoised"]
    height, width = image.shape
    for fate in ("lost", "new", "moved"):
        if len(fates[fate]):
            centre, reason = fates[fate][0], f"around a {fate} column"
            break
    else:
        centre, reason = np.array([height / 2, width / 2]), "the middle"
        phantom = evaluation.evidence.phantom
        if phantom is not None and np.isfinite(phantom).any():
            centre = np.argwhere(np.isfinite(phantom)).mean(axis=0) * (height / phantom.shape[0])
            reason = "where the input has no lattice"
    size = min(DETAIL, height), min(DETAIL, width)
    y, x = (int(np.clip(c - n / 2, 0, full - n)) for c, n, full in zip(centre, size, image.shape, strict=True))
    return (slice(y, y + size[0]), slice(x, x + size[1])), reason


def _columns(evaluation: Evaluation) -> Picture | None:
    """The denoised image, dimmed, with a mark at every column."""
    image, evidence = evaluation.images["denoised"], evaluation.evidence
    fates = _fates(evidence)
    if evidence.spacing is None or not any(len(at) for at in fates.values()):
        return None
    canvas, factor = _canvas(image)
    draw = ImageDraw.Draw(canvas)
    radius = max(0.3 * evidence.spacing * factor, 2.0)
    for fate, at in fates.items():
        size = radius * (1.0 if fate == "kept" else 1.5)
        for y, x in (at + 0.5) * factor:
            _mark(draw, fate, float(y), float(x), size)
    counts = ", ".join(f"{len(at):,} {fate} ({SHAPES[fate]})" for fate, at in fates.items())
    return Picture(title="Atom columns", caption=f"{counts}; on the denoised image", png=png_bytes(canvas))


def _mark(draw: ImageDraw.ImageDraw, fate: str, y: float, x: float, size: float) -> None:
    colour = FATES[fate]
    if fate == "kept":
        draw.ellipse((x - size, y - size, x + size, y + size), outline=colour)
    elif fate == "lost":
        draw.line((x - size, y - size, x + size, y + size), fill=colour, width=3)
        draw.line((x - size, y + size, x + size, y - size), fill=colour, width=3)
    elif fate == "new":
        draw.line([(x, y - size), (x + size, y), (x, y + size), (x - size, y), (x, y - size)], fill=colour, width=3)
    else:
        corners = [(x, y - size), (x + size, y + size), (x - size, y + size), (x, y - size)]
        draw.line(corners, fill=colour, width=3)


def _canvas(image: np.ndarray) -> tuple[Image.Image, float]:
    """The image at two thirds of its brightness, and pixels of the picture per pixel of the image."""
    picture = grey(_fit(image), *contrast(image)) // 6 * 4  # fewer shades take less space
    return Image.fromarray(picture), _factor(image.shape)


def _displacement(evaluation: Evaluation) -> Picture | None:
    """Arrows from the input's lattice to the output's."""
    image, evidence = evaluation.images["denoised"], evaluation.evidence
    if evidence.displacement is None or not np.isfinite(evidence.displacement).any():
        return None
    start, arrow = arrows(evidence, image.shape)
    longest = float(np.percentile(np.hypot(*arrow.T), 99)) or 1.0 if len(arrow) else 1.0
    canvas, factor = _canvas(image)
    draw = ImageDraw.Draw(canvas)
    room = 0.9 * spread(evidence, image.shape) * factor  # the longest arrow just reaches the next one
    for (y, x), (dy, dx) in zip((start + 0.5) * factor, arrow * room / longest, strict=True):
        draw.line((x, y, x + dx, y + dy), fill=ARROW, width=1)
        draw.ellipse((x + dx - 1.5, y + dy - 1.5, x + dx + 1.5, y + dy + 1.5), fill=ARROW)
    unit = f" ({longest / evidence.spacing:.3f} a)" if evidence.spacing else ""
    return Picture(
        title="Lattice displacement",
        caption=f"from input to output; arrows {room / factor / longest:.3g} times enlarged, with a dot at their end; "
        f"the longest stand for {longest:.3g} px{unit}",
        png=png_bytes(canvas),
    )


def spread(evidence: Evidence, shape: tuple[int, ...]) -> float:
    """Distance of the arrows, px: two lattice periods, and no more than 48 arrows across."""
    return max(2 * (evidence.spacing or 8.0), max(shape) / 48)


def arrows(evidence: Evidence, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Displacements on a coarse grid.

    Parameters
    ----------
    evidence : Evidence
        With a displacement map.
    shape : tuple of int
        (Y, X) of the image.

    Returns
    -------
    start : ndarray, shape (N, 2)
        Where, (y, x), px.
    arrow : ndarray, shape (N, 2)
        From input to output, px.
    """
    field = evidence.displacement
    if field is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    step = spread(evidence, shape)
    axes = (np.arange(step / 2, n, step) for n in shape)
    start = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    shrink = np.array(field.shape[-2:]) / np.array(shape)  # the map may be coarser than the image
    y, x = np.minimum((start * shrink).astype(int), np.array(field.shape[-2:]) - 1).T
    arrow = np.asarray(field[:, y, x].T, np.float64)  # (N, 2)
    there = np.isfinite(arrow).all(axis=1)
    return start[there], arrow[there]


def _phantom(evaluation: Evaluation) -> Picture | None:
    phantom = evaluation.evidence.phantom
    if phantom is None or not np.isfinite(phantom).any():
        return None
    high = max(float(np.nanmax(phantom)), 0.05)
    return Picture(
        title="Phantom lattice",
        caption=f"lattice of the output where the input has none; black 0, white {high:.0%} of the bulk's; "
        "grey where the input has a lattice",
        png=_colour(phantom, 0.0, high, SEQUENTIAL),
    )


def standing_out(evidence: Evidence, sign: int) -> np.ndarray | None:
    """The largest deviation over all scales.

    Parameters
    ----------
    evidence : Evidence
        Of one plane.
    sign : {1, -1}
        1 for what is missing in the result, -1 for what the noisy image contradicts.

    Returns
    -------
    ndarray, shape (Y, X), or None
        Standard deviations of the noise, 0 or more; None where the noise is not understood.
    """
    found = evidence.residual
    if not found.calibrated or not found.z.size:
        return None
    return np.asarray(np.maximum(found.z.max(axis=0) if sign > 0 else -found.z.min(axis=0), 0))


def support_map(evidence: Evidence) -> np.ndarray | None:
    """The support of what is visible around each place, (Y, X), standard deviations of the noise, 5 at most.

    It is the mean over all scales and over two widths of each around the place, in which each detail counts as much as
    it is visible: a band is nothing where it changes its sign. None where nobody knows it.
    """
    support = evidence.support
    if support is None:
        return None
    carried, visible = np.zeros((2, *support.detail.shape[1:]))
    for scale, detail, value in zip(support.scales, np.abs(support.detail), support.value, strict=True):
        carried += ndimage.gaussian_filter(detail * np.minimum(value, CARRIED), AROUND * scale)
        visible += ndimage.gaussian_filter(detail, AROUND * scale)
    return np.asarray(carried / np.maximum(visible, 1e-30), np.float32)


def _outstanding(evaluation: Evaluation) -> Picture | None:
    missing, contradicted = (standing_out(evaluation.evidence, sign) for sign in (1, -1))
    if missing is None or contradicted is None:
        return None
    found = np.where(missing >= contradicted, missing, -contradicted)
    threshold = evaluation.evidence.residual.threshold
    high = max(1.5 * threshold, float(np.abs(found).max()))
    return Picture(
        title="Missing and contradicted",
        caption=f"what stands out of the noise, at its strongest scale; orange up to {high:.3g} σ: missing in the "
        f"output, blue: the input contradicts the output; white below {FROM:g} σ, and noise alone passes "
        f"{threshold:.3g} σ in one image of a hundred",
        png=_colour(np.where(np.abs(found) < FROM, 0, found), -high, high, DIVERGING),
    )


def _support(evaluation: Evaluation) -> Picture | None:
    support = support_map(evaluation.evidence)
    if support is None:
        return None
    return Picture(
        title="Support",
        caption=f"of the visible detail, in σ of the noise: black 0, white {CARRIED:g} and more; from 2 on the detail "
        "is carried by the input; dark where there is no detail, or where nothing carries it",
        png=_colour(support, 0.0, CARRIED, SEQUENTIAL),
    )


def _given_back(evaluation: Evaluation) -> Picture | None:
    given = evaluation.given_back
    if given is None or not np.nan_to_num(given).any():
        return None
    width = contrast_of_given_back(given)
    return Picture(
        title="Given back",
        caption=f"what the guard returned from the input: blue {-width:.4g}, white 0, orange {width:.4g}",
        png=_colour(given, -width, width, DIVERGING),
    )


def contrast_of_given_back(given: np.ndarray) -> float:
    """The value at the ends of a scale around zero: the 99 percentile of the magnitude where it is not zero."""
    values = np.abs(given[np.isfinite(given) & (given != 0)])
    return (float(np.percentile(values, 99)) if values.size else 0.0) or 1.0


def _uncertainty(evaluation: Evaluation) -> Picture | None:
    deviation = evaluation.uncertainty
    if deviation is None or not np.isfinite(deviation).any():
        return None
    values = deviation[np.isfinite(deviation)]
    high = float(np.percentile(values, 99.5)) or 1.0
    return Picture(
        title="Uncertainty",
        caption=f"standard deviation over 8 poses of the image, in its units; black 0, white {high:.4g}, median "
        f"{float(np.median(values)):.4g}; what the model is unsure of, not its error",
        png=_colour(deviation, 0.0, high, SEQUENTIAL),
    )


def _residual(evaluation: Evaluation) -> Picture:
    residual = np.asarray(evaluation.evidence.residual.difference, np.float64)
    width = contrast_of_residual(residual)
    return Picture(
        title="Noisy - denoised",
        caption=f"blue {-width:.4g}, white 0, orange {width:.4g}; atoms or edges in it were taken away or added",
        png=_colour(residual, -width, width, DIVERGING),
    )


def _spectrum(evaluation: Evaluation) -> Picture:
    """Log power of the middle of the residual, at most 512 px wide."""
    residual = np.asarray(evaluation.evidence.residual.difference, np.float64)
    part = np.nan_to_num(residual[middle_part(residual.shape, 512)])
    window = np.hanning(part.shape[0])[:, None] * np.hanning(part.shape[1])
    power = np.abs(np.fft.fftshift(np.fft.fft2((part - part.mean()) * window))) ** 2
    values = np.log10(power + 1e-12 * (power.max() or 1.0))
    low, high = (float(v) for v in np.percentile(values, (2, 99.98)))
    return Picture(
        title="Spectrum of noisy - denoised",
        caption="logarithm of the power, zero frequency in the middle; sharp spots are lattice in the residual",
        png=_png(values, low, high if high > low else low + 1, SHADES),
    )


PICTURES: dict[str, Callable[[Evaluation], Picture | None]] = {
    "columns": _columns,
    "displacement": _displacement,
    "phantom lattice": _phantom,
    "missing and contradicted": _outstanding,
    "support": _support,
    "given back": _given_back,
    "residual": _residual,
    "spectrum": _spectrum,
    "uncertainty": _uncertainty,
}
