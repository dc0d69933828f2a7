"""The images that a model is adapted to: measured as for denoising, denoised with the model as it is, and judged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.repeats.compare import compare_repeats
from napari_hush.filters.gaps import filled
from napari_hush.filters.smoothing import gaussian
from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.planes import middle_part
from napari_hush.inference.planning import plan_steps
from napari_hush.progress import Progress, within
from napari_hush.residual.noise import measure_noise, noise_kept
from napari_hush.training.adapt.fields import Field, Recorrupted, Repeated, Seen
from napari_hush.training.adapt.noise import SMOOTH, DrawnNoise, OwnNoise, skewness_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.plan import Plan
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.model import Model
    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.float64]

LARGEST = 1536  # px: the middle of larger planes is enough
JUDGED = 512  # px: so much of a plane is judged
MOST_PLANES = 8  # of a stack, evenly spread
KEPT = 0.1  # of the noise in a result, above which the image alone tells what its noise is
LEFT_BY_A_MEAN = (1 - 0.75 / (np.pi * SMOOTH**2)) ** 0.5  # of white noise, once its Gaussian mean was taken off
ALIKE = 0.5  # correlation of two denoised frames of one field, at least
RANKS = {"pass": 0, "open": 1, "warn": 2, "fail": 3}


@dataclass(frozen=True)
class Look:
    """What the evidence says of a result.

    Parameters
    ----------
    status : {"pass", "warn", "fail", "open"}
        In one word.
    failures : int
        Checks that failed.
    words : str
        In one line.
    """

    status: str
    failures: int
    words: str

    def worse_than(self, other: Look) -> bool:
        """Whether the other one is better."""
        return (RANKS[self.status], self.failures) > (RANKS[other.status], other.failures)


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One image, or the frames of one field.

    Parameters
    ----------
    name : str
        What to call it.
    image : array_like, shape (..., Y, X)
        Noisy.
    plan : Plan
        How the model sees it.
    indices : tuple of tuple of int
        The planes that are used.
    part : (int, int, int, int)
        y0, y1, x0, x1 of what is used of each, px.
    noisy, denoised : tuple of ndarray, shape (Y, X)
        These parts, without gaps, and what the model makes of them.
    """

    name: str
    image: Any
    plan: Plan
    indices: tuple[tuple[int, ...], ...]
    part: tuple[int, int, int, int]
    noisy: tuple[Floats, ...]
    denoised: tuple[Floats, ...]

    @property
    def fingerprint(self) -> str:
        """A checksum of the values, in hexadecimal."""
        digest = hashlib.sha256()
        for plane in self.noisy:
            digest.update(np.ascontiguousarray(plane).tobytes())
        return digest.hexdigest()

    def fields(self, *, repeats: bool) -> list[Field]:
        """What to learn from.

        Raises
        ------
        InputError
            If the noise is not understood, or the frames do not show one field.
        """
        passes = {one.index: one for one in self.plan.passes}
        seen = [Seen(one=passes[index], scaled=self.plan.scaled, part=self.part) for index in self.indices]
        if repeats:
            return [Repeated(seen, self._drift())]
        noise, bright, rest = self._noise()
        if not noise.calibrated:
            raise InputError(
                f"{self.name}: expected noise that can be drawn anew, pixel by pixel or along the rows, but "
                f"{noise.reason}: give two or more frames of the field as one stack, with repeats=0, or use the model "
                "as it is"
            )
        fields: list[Field] = []
        for one, plane, residual in zip(seen, bright, rest, strict=True):
            drawn = DrawnNoise(noise, plane, skewness_of(noise, plane, residual))
            exchanged, moved = (OwnNoise(noise, plane, residual, moved) for moved in (False, True))
            fields.append(Recorrupted(one, drawn, others=(("exchanged", exchanged), ("moved", moved))))
        return fields

    def _noise(self) -> tuple[NoiseModel, Sequence[Floats], Sequence[Floats]]:
        """The noise, the brightness of the planes without it, and what of the planes is noise."""
        planes = list(zip(self.noisy, self.denoised, strict=True))
        if max(np.nan_to_num(noise_kept(*pair), nan=1.0) for pair in planes) <= KEPT:
            rest = [noisy - result for noisy, result in planes]
            return measure_noise(self.noisy, self.denoised), self.denoised, rest
        # what a model leaves in its result is not in what it took away: the image alone tells more
        smooth = [gaussian(plane, SMOOTH, mode="nearest") for plane in self.noisy]
        rest = [(noisy - mean) / LEFT_BY_A_MEAN for noisy, mean in zip(self.noisy, smooth, strict=True)]
        return measure_noise(self.noisy), smooth, rest

    def look_steps(self, model: Model | None, settings: DenoiseSettings) -> Generator[Progress, None, Look]:
        """Judge one plane, of a large one its middle, as another model denoises it; None: the model as it was."""
        number = len(self.indices) // 2
        y0, y1, x0, x1 = self.part
        y, x = middle_part((y1 - y0, x1 - x0), JUDGED)
        y, x = slice(*y.indices(y1 - y0)), slice(*x.indices(x1 - x0))
        denoised: NDArray[np.floating]
        if model is None:
            denoised = self.denoised[number][y, x]
        else:
            region = (y0 + y.start, y0 + y.stop, x0 + x.start, x0 + x.stop)
            denoised = yield from denoised_part(self.image, model, settings, self.indices[number], region)
        evidence = judge(self.noisy[number][y, x], denoised, dark=settings.dark)
        failures = sum(finding.verdict == "fail" for finding in evidence.findings)
        return Look(evidence.status, failures, evidence.verdict)

    def _drift(self) -> tuple[tuple[float, float], ...]:
        """Gain and offset of each frame against the first."""
        smooth = [ndimage.gaussian_filter(plane, 1).ravel() for plane in self.denoised]
        for number, plane in enumerate(smooth[1:], start=2):
            alike = float(np.corrcoef(smooth[0], plane)[0, 1])
            if not alike >= ALIKE:
                raise InputError(
                    f"{self.name}: expected frames of one field, but frame {number}, denoised, correlates with frame 1 "
                    f"by {alike:.2f} only: register them first, or leave repeats out"
                )
        return compare_repeats(np.stack(self.noisy), np.stack(self.denoised)).drift


def subject_steps(
    name: str,
    image: Any,
    model: str | Path | Model,
    settings: DenoiseSettings,
    loaded: LoadedModels,
    *,
    repeats: int | None,
) -> Generator[Progress, None, Subject]:
    """Measure an image and denoise what is used of it.

    Parameters
    ----------
    name : str
        What to call it in messages.
    image : array_like, shape (..., Y, X)
        Grey.
    model : str, path or Model
        As of `denoise`.
    settings : DenoiseSettings
        How to run it.
    loaded : LoadedModels
        Models and engines.
    repeats : int or None
        The axis of the frames of one field.

    Raises
    ------
    InputError
        If image and model do not fit, or cannot be adapted to one another.
    """
    if repeats is not None:
        shape = tuple(getattr(image, "shape", ()))
        if len(shape) != 3 or not -3 <= repeats < 3 or shape[repeats] < 2:
            raise InputError(
                f"{name}: repeats={repeats} needs a stack of two or more frames of one field, such as (R, Y, X) with "
                f"repeats=0; got the shape {shape}"
            )
        image = np.moveaxis(np.asarray(image), repeats, 0)
    plan = yield from plan_steps(image, model, settings, loaded)
    refuse_networks(plan.model)
    image = plan.source.image
    indices = list(dict.fromkeys(one.index for one in plan.passes))
    spread = np.unique(np.linspace(0, len(indices) - 1, MOST_PLANES).round().astype(int))
    chosen = tuple(indices[k] for k in spread)
    y, x = (
        slice(*s.indices(n))
        for s, n in zip(middle_part(plan.source.plane_shape, LARGEST), plan.source.plane_shape, strict=True)
    )
    part = (y.start, y.stop, x.start, x.stop)
    noisy, denoised = [], []
    for number, index in enumerate(chosen):
        words = f"denoising {name}" + (f", plane {number + 1} of {len(chosen)}" if len(chosen) > 1 else "")
        steps = denoised_part(image, plan.model, settings, index, part, loaded)
        made = yield from within(steps, lambda _, words=words: Progress(0, 1, words))  # type: ignore[misc]
        values = plan.source.read(index, [0], y, x)[0].astype(np.float64)
        gaps = ~np.isfinite(values)
        noisy.append(filled(values, gaps))
        denoised.append(filled(made.astype(np.float64), gaps))
    return Subject(
        name=name, image=image, plan=plan, indices=chosen, part=part, noisy=tuple(noisy), denoised=tuple(denoised)
    )


def denoised_part(
    image: Any,
    model: Model,
    settings: DenoiseSettings,
    index: tuple[int, ...],
    region: tuple[int, int, int, int],
    loaded: LoadedModels | None = None,
) -> Generator[Progress, None, NDArray[np.float32]]:
    """A part of one plane as `denoise` gives it, (Y, X)."""
    steps = denoise_steps(image, model, settings, loaded=loaded, plane=index, region=region)
    done = yield from within(steps, lambda event: event)
    return np.asarray(done.image)


def refuse_networks(model: Model) -> None:
    """Raise an error for networks that cannot be trained on patches of one noisy image.

    Raises
    ------
    InputError
        Saying why, and what to do.
    """
    name = model.card.name
    if model.companions != "none":
        raise InputError(
            f"{name}: its network is given {model.companions} companions beside the image, of which nobody can draw a "
            "second version: adapt a model without companions"
        )
    if model.depth > 1 or model.image_channels != 1 or model.out_channels != 1:
        raise InputError(
            f"{name}: takes {model.in_channels} channels and gives {model.out_channels}: only models of single grey "
            "images can be adapted; take another one"
        )
    if model.staged and any(stage.measures is not None for stage in model.network.stages()):  # type: ignore[operator]
        raise InputError(
            f"{name}: its network takes statistics of the whole image, which a patch does not have: adapt a model "
            "without instance normalisation, such as stem or general"
        )


def names_of(images: Sequence[Any], names: Sequence[str]) -> list[str]:
    """What to call images for which there may be no names."""
    return [
        names[k] if k < len(names) and names[k] else ("the image" if len(images) == 1 else f"image {k + 1}")
        for k in range(len(images))
    ]
