"""One plane of a result judged in a few seconds: the line that the dock and the command say after a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hush.fidelity.frames import judge_frame
from napari_hush.fidelity.stacks import frames_around, name, read_plane
from napari_hush.inference.planes import Planes, middle_part
from napari_hush.inference.streaks import STREAKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hush.fidelity.findings import Status
    from napari_hush.fidelity.stacks import Index

LARGE = 640  # px; of larger planes only the middle is looked at, so that it takes a few seconds
MIDDLE = 512


@dataclass(frozen=True)
class Glance:
    """What one look says.

    Parameters
    ----------
    status : {"pass", "warn", "fail", "open"}
        In one word.
    words : str
        In one line, with what was looked at where that is not the whole image.
    """

    status: Status
    words: str


def glance(
    noisy: Any,
    denoised: Any,
    *,
    channel_axis: int | None = None,
    plane: Index | None = None,
    dark: bool = False,
    pixel_size: float | None = None,
    assumes: str | None = None,
    series: bool = False,
) -> Glance:
    """Judge one plane of a result, of a large one its middle.

    Parameters
    ----------
    noisy, denoised : array_like, shape (..., Y, X)
        Input and output of a denoiser: anything with shape, dtype and slicing. No more is read than is looked at.
    channel_axis : int, optional
        The axis of colours, which are averaged.
    plane : tuple of int, optional
        Along the leading axes; the middle one by default.
    dark : bool
        Whether atom columns are darker than what is around them.
    pixel_size : float, optional
        Nm: then the finest detail is told as a length.
    assumes : str, optional
        What the model takes for granted, as the record of a run has it: it is said with the verdict.
    series : bool
        Whether the result was made of several frames, along the first axis: then they are judged together.

    Returns
    -------
    Glance

    Raises
    ------
    InputError
        If the plane cannot be judged.

    Examples
    --------
    >>> import napari_hush as hush
    >>> cells = hush.sample("cells")
    >>> glance(cells.noisy, cells.clean).status
    'pass'
    """
    before, after = Planes(noisy, channel_axis), Planes(denoised, channel_axis)
    index = tuple(n // 2 for n in before.lead_shape) if plane is None else plane
    about = [f"plane {name(index)}"] if index else []
    y, x = slice(None), slice(None)
    if max(before.plane_shape) > LARGE:
        y, x = middle_part(before.plane_shape, MIDDLE)
    images = [read_plane(view, index, y, x) for view in (before, after)]
    if y.stop is not None:
        about.append(f"middle {images[0].shape[1]} x {images[0].shape[0]} px")
    if before.n_channels > 1:
        about.append("mean of the colours")
    frames = frames_around(before, after, index, y, x) if series else None
    further = None if frames is None else frames.around(index[0])
    evidence = judge_frame(images[0], images[1], further, dark=dark, pixel_size=pixel_size)
    evidence = replace(evidence, origin=(y.start or 0, x.start or 0))
    words = evidence.verdict + (f" ({', '.join(about)})" if about else "")
    return Glance(evidence.status, words + (f". The model {assumes}" if assumes else ""))


def given_back_words(provenance: Mapping[str, Any]) -> str:
    """How much the guard gave back, from the record of a run; empty where nobody asked it to.

    Parameters
    ----------
    provenance : mapping
        Of a `Denoised`.

    Examples
    --------
    >>> given_back_words({"given_back": {"share": 0.004, "rms": 0.1}})
    'given back: 0.4 % of the pixels'
    >>> given_back_words({"given_back": "withheld: its noise is spikes"})
    'nothing was given back: its noise is not understood (its noise is spikes)'
    """
    found = provenance.get("given_back", False)
    if isinstance(found, str):
        reason = found.removeprefix("withheld: ")
        known = reason.startswith(STREAKS)
        return f"nothing was given back: {reason if known else f'its noise is not understood ({reason})'}"
    if not isinstance(found, dict):
        return ""
    if "share" in found:
        share, roughly = float(found["share"]), ""
    else:  # tiles overlap where nobody kept the image of it
        size = 1
        for n in provenance["shape"]:
            size *= int(n)
        share, roughly = min(found["pixels"] / size, 1.0), "about "
    if not share:
        return "nothing had to be given back"
    return f"given back: {roughly}{_percent(share)} of the pixels"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all"
