"""A noisy and a denoised image compared plane by plane; the command and the dock both go through here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.fidelity.findings import badness, overall
from napari_hush.fidelity.frames import FramesAround, judge_frame
from napari_hush.fidelity.match import Match, match_truth
from napari_hush.fidelity.metrics import METRICS
from napari_hush.fidelity.repeats.compare import compare_further
from napari_hush.fidelity.settings import EvaluationSettings
from napari_hush.inference.levels import as_float64
from napari_hush.inference.planes import Planes
from napari_hush.inference.together import SMALLEST
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_hush.fidelity.findings import Finding, Status
    from napari_hush.fidelity.repeats.compare import Repeats
    from napari_hush.fidelity.verdict import Evidence

Index = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PlaneResult:
    """What was found in one plane.

    Parameters
    ----------
    index : tuple of int
        Its place along the leading axes; empty for a single image.
    findings : tuple of Finding
        The checks.
    verdict : str
        One line.
    """

    index: Index
    findings: tuple[Finding, ...]
    verdict: str

    @property
    def scores(self) -> dict[str, float]:
        """`METRICS` against the truth; empty without one, NaN where one cannot be computed."""
        return {found.name: found.value for found in self.findings if found.name in METRICS}

    @property
    def status(self) -> Status:
        """Whether what was looked at is in order, see `overall`."""
        return overall(self.findings)

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return sum(finding.verdict == "fail" for finding in self.findings)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What was found in all planes, and the full evidence of one: the worst, the first among equals.

    A plane without a verdict is worse than one that passed, and better than one with a warning.

    Parameters
    ----------
    planes : tuple of PlaneResult
        One per plane.
    worst : PlaneResult
        The one with the most failed checks.
    evidence : Evidence
        Of the worst plane.
    images : dict of str to ndarray, shape (Y, X)
        That plane of the noisy and the denoised image, and of the truth where there is one; colours are averaged.
    settings : EvaluationSettings
        As given.
    uncertainty : ndarray, shape (Y, X), optional
        What the model was unsure of in that plane, image units, where somebody asked it.
    given_back : ndarray, shape (Y, X), optional
        What the guard gave back in that plane, image units, where somebody kept it.
    match : Match, optional
        How the truth was brought to the noisy image in that plane; ``images`` holds the result.
    repeats : Repeats, optional
        What further measurements of the field say.
    """

    planes: tuple[PlaneResult, ...]
    worst: PlaneResult
    evidence: Evidence
    images: dict[str, np.ndarray]
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    uncertainty: np.ndarray | None = None
    given_back: np.ndarray | None = None
    match: Match | None = None
    repeats: Repeats | None = None

    @property
    def status(self) -> Status:
        """That of the worst plane: "pass" says that every plane was judged and no check failed."""
        return self.worst.status

    @property
    def passed(self) -> bool:
        """Whether the status is "pass"."""
        return self.status == "pass"

    @property
    def verdict(self) -> str:
        """One line for a person."""
        if len(self.planes) == 1:
            return self.worst.verdict
        words = {"fail": "failed", "warn": "with a warning", "open": "without a verdict", "pass": "passed"}
        counts = {status: sum(plane.status == status for plane in self.planes) for status in words}
        parts = [f"{counts[status]} {words[status]}" for status in words if counts[status]]
        which = "the worst" if counts["fail"] else "for example"
        summary = f"of {len(self.planes)} planes {', '.join(parts)}"
        return f"{summary}; {which}, plane {name(self.worst.index)}: {self.worst.verdict}"


def name(index: Index) -> str:
    """The name of a plane: its place along the leading axes, counted from 0 as napari does.

    Examples
    --------
    >>> name((3,)), name((0, 7)), name(())
    ('3', '0/7', '0')
    """
    return "/".join(str(place) for place in index) or "0"


def evaluate_steps(
    noisy: Any,
    denoised: Any,
    truth: Any = None,
    settings: EvaluationSettings | None = None,
    *,
    channel_axis: int | None = None,
    planes: Sequence[Index] | None = None,
    pixel_size: float | None = None,
    repeats: Any = None,
    follow: bool = False,
    tell: Callable[[PlaneResult], object] | None = None,
) -> Generator[Progress, None, Evaluation]:
    """Compare plane by plane, one `Progress` event for each.

    Parameters
    ----------
    noisy, denoised : array_like, shape (..., Y, X)
        The input and the output of a denoiser: anything with shape, dtype and slicing.
    truth : array_like, shape (..., Y, X), optional
        The clean image, where it is known.
    settings : EvaluationSettings, optional
        What the checks cannot find in the images by themselves.
    channel_axis : int, optional
        The axis of colours, which are averaged.
    planes : sequence of tuple of int, optional
        Which planes; default all.
    pixel_size : float, optional
        Nm: then a verdict tells the finest detail as a length.
    repeats : array_like, shape (Y, X) or (M, Y, X), optional
        Further measurements of the field, or ``noisy`` itself where that is a stack of them, see `compare_further`.
    follow : bool
        Whether the frames before the first of ``planes`` are looked at as well, so that those of a series have the very
        figures that they have among all: where frames lie is told from one to the next.
    tell : callable, optional
        Called with what was found in each plane.

    Yields
    ------
    Progress
        After each plane.

    Returns
    -------
    Evaluation
        What was found.

    Raises
    ------
    InputError
        If the shapes differ, or a plane cannot be judged.

    Examples
    --------
    >>> from napari_hush.synthesis.samples import sample
    >>> field = sample("dented-lattice")
    >>> steps = evaluate_steps(field.noisy[:128, :128], field.clean[:128, :128])
    >>> next(steps).message
    'plane 1 of 1'
    """
    settings = settings or EvaluationSettings()
    views = {"noisy": Planes(noisy, channel_axis), "denoised": Planes(denoised, channel_axis)}
    if truth is not None:
        views["truth"] = Planes(truth, channel_axis)
    shape = tuple(int(n) for n in noisy.shape)
    for what, view in views.items():
        if tuple(view.image.shape) != shape:
            raise InputError(
                f"the images must have one shape, got {shape} (noisy) and {tuple(view.image.shape)} ({what}): choose "
                "images of one field, or crop them alike"
            )
    further = None if repeats is None else compare_further(noisy, denoised, repeats)
    chosen = list(views["noisy"].indices()) if planes is None else list(planes)
    results: dict[Index, PlaneResult] = {}
    kept: tuple[PlaneResult, Evidence, dict[str, np.ndarray]] | None = None
    series, around = None, None
    line: Match | None = None
    for number, index in enumerate(in_series(chosen), start=1):
        images = {what: read_plane(view, index) for what, view in views.items()}
        match = None
        if settings.match and truth is not None:
            images["truth"], match = match_truth(images["truth"], images["noisy"])
        if series != index[1:]:
            series, around = index[1:], frames_around(views["noisy"], views["denoised"], index)
            if follow and around is not None:
                for before in range(index[0]):
                    around.follow(before)
        evidence = _judge(images, index, settings, pixel_size, around, several=len(chosen) > 1)
        result = PlaneResult(index=index, findings=evidence.findings, verdict=evidence.verdict)
        results[index] = result
        if tell is not None:
            tell(result)
        if kept is None or is_worse(result, kept[0]):
            kept, line = (result, evidence, images), match
        yield Progress(number, len(chosen), f"plane {number} of {len(chosen)}")
    if kept is None:
        raise InputError("there is no plane to evaluate: name at least one")
    worst, evidence, images = kept
    return Evaluation(
        planes=tuple(results[index] for index in chosen),
        worst=worst,
        evidence=evidence,
        images=images,
        settings=settings,
        match=line,
        repeats=further,
    )


def read_plane(view: Planes, index: Index, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
    """One plane of an image, or a part, float64, (Y, X); colours are averaged, an alpha channel of four is left out."""
    channels = list(range(3 if view.n_channels == 4 else view.n_channels))
    values = as_float64(view.read(index, channels, y, x))  # (C, Y, X)
    return values[0] if len(values) == 1 else np.asarray(values.mean(axis=0))


def frames_around(
    noisy: Planes, denoised: Planes, index: Index, y: slice = slice(None), x: slice = slice(None)
) -> FramesAround | None:
    """The frames around a plane, along the first axis, or the same part of them; None where there are none."""
    lead = noisy.lead_shape
    if not lead or lead[0] < 2 or min(noisy.plane_shape) < SMALLEST:
        return None

    def read(number: int) -> tuple[np.ndarray, np.ndarray]:
        place = (number, *index[1:])
        return read_plane(noisy, place, y, x), read_plane(denoised, place, y, x)

    return FramesAround(read, lead[0])


def _judge(
    images: dict[str, np.ndarray],
    index: Index,
    settings: EvaluationSettings,
    pixel_size: float | None,
    around: FramesAround | None,
    *,
    several: bool,
) -> Evidence:
    try:
        return judge_frame(
            images["noisy"],
            images["denoised"],
            None if around is None else around.around(index[0]),
            truth=images.get("truth"),
            spacing=settings.spacing,
            dark=settings.dark,
            pixel_size=pixel_size,
        )
    except InputError as error:
        raise InputError(f"plane {name(index)}: {error}" if several else str(error)) from error


def in_series(indices: Sequence[Index]) -> list[Index]:
    """The order in which planes are looked at: one series after another."""
    return sorted(indices, key=lambda one: (one[1:], one))


def is_worse(result: PlaneResult, than: PlaneResult) -> bool:
    """Whether a plane is worse than another; of two alike the first one counts."""
    bad, other = badness(result.findings), badness(than.findings)
    return bad > other or (bad == other and result.index < than.index)
