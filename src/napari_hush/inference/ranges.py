"""The normalisation of each plane: one that a stack shares, or each its own; and a word where one does not suit all."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.normalize import FlatImageError, Normalization
from napari_hush.progress import MEASURING, Progress, within

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from napari_hush.inference.channels import Group
    from napari_hush.inference.planes import Planes
    from napari_hush.inference.scaling import ScaledPlane
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.normalize import NormalizationRule

    Index = tuple[int, ...]
    Spans = dict[Index, list[np.ndarray]]
    Norms = dict[Index, Normalization]

UNLIKE = 9.5  # times: tenfold differences are told, however they are estimated; they cost the weaker plane several dB
SAMPLE = 64  # px along each side of a block that its range is estimated from
LEAST = 256  # px of a plane: fewer have no percentiles worth a word
NAMED = 3  # planes that a message names
FLAT_SCALE = 1e-30  # of a plane of one value: whatever a network makes of it, the plane stays as it is
HELD = 64 << 20  # bytes of a plane whose chunks are read once and held, where parts of it would read them again


def norms_steps(
    source: Planes,
    group: Group,
    scaled: ScaledPlane,
    rule: NormalizationRule,
    settings: DenoiseSettings,
    indices: Sequence[Index],
) -> Generator[Progress, None, Norms]:
    """Find the normalisation of a group of channels for each of some planes.

    Parameters
    ----------
    source : Planes
        The image.
    group : Group
        The channels.
    scaled : ScaledPlane
        The scale at which a network sees the planes.
    rule : NormalizationRule
        Of the model.
    settings : DenoiseSettings
        ``normalize`` and ``dark`` in it.
    indices : sequence of tuple of int
        Those planes; what they share is measured on all of the image.

    Raises
    ------
    FlatImageError
        If no plane has two different values.

    Warns
    -----
    UserWarning
        If planes that share a normalisation differ by far.
    """

    def fitted(some: Sequence[Index], spans: Spans | None = None) -> Generator[Progress, None, Normalization]:
        level = source.level(some[0], group.inputs[0])
        blocks = partial(_blocks, source, group, scaled, some, spans)
        norm = yield from within(rule.fit_steps(blocks, level), lambda _: Progress(0, 1, MEASURING))
        return norm.turned(rule.target) if settings.dark else norm

    if settings.normalize == "stack":
        every = list(source.indices())
        spans: Spans | None = {} if len(every) > 1 else None
        shared = yield from fitted(every, spans)
        if spans and (words := _unlike(source, spans, shared, rule)):
            warnings.warn(words, UserWarning, stacklevel=2)
        return dict.fromkeys(indices, shared)
    norms: Norms = {}
    flat: FlatImageError | None = None
    for index in indices:
        try:
            norms[index] = yield from fitted([index])
        except FlatImageError as error:
            flat = flat or error
            value = _first_value(_blocks(source, group, scaled, [index]))
            norms[index] = Normalization(value, FLAT_SCALE, value)
    if flat is not None and all(norm.scale == FLAT_SCALE for norm in norms.values()):
        raise flat
    return norms


def _first_value(blocks: Iterator[np.ndarray]) -> float:
    """The first finite one; 0 where there is none."""
    return next((float(block[known][0]) for block in blocks if (known := np.isfinite(block)).any()), 0.0)


def _blocks(
    source: Planes, group: Group, scaled: ScaledPlane, indices: Sequence[Index], spans: Spans | None = None
) -> Iterator[np.ndarray]:
    """Every value of a group of channels as the network sees it, over some planes; samples of them go to ``spans``."""
    if spans is not None:
        spans.clear()
    for channel in sorted(set(group.inputs)):
        for index in indices:
            # the network's own scale: a resampling changes the noise
            read = partial(source.read, index, [channel])
            if scaled.factor != 1 and _is_worth_holding(source):
                whole = read(*(slice(0, size) for size in source.plane_shape))
                read = partial(_part_of, whole)
            for block in source.plane_blocks(index, channel) if scaled.factor == 1 else scaled.blocks(read):
                if spans is not None:
                    step = [max(n // SAMPLE, 1) for n in block.shape[-2:]]
                    spans.setdefault(index, []).append(block[..., :: step[0], :: step[1]].ravel())
                yield block


def _is_worth_holding(source: Planes) -> bool:
    """Whether the parts of a plane that are looked at would read its chunks again and again."""
    size = np.dtype(source.image.dtype).itemsize * source.plane_shape[0] * source.plane_shape[1]
    return size <= HELD and max(source.chunk_shape) > 1


def _part_of(plane: np.ndarray, y: slice, x: slice) -> np.ndarray:
    return plane[:, y, x]


def _unlike(source: Planes, spans: Spans, norm: Normalization, rule: NormalizationRule) -> str:
    """That some planes do not suit the range that all share, in words; empty where all do."""
    if rule.method in ("identity", "range") or (rule.method == "match" and abs(norm.scale) == 1):
        return ""  # the model's own range, whatever the planes are
    shared = abs(norm.scale) * (rule.target[1] - rule.target[0])
    middle = norm.offset + norm.scale * sum(rule.target) / 2
    shares: dict[Index, float] = {}
    for index, values in spans.items():
        finite = (known := np.concatenate(values).astype(np.float64))[np.isfinite(known)]
        low, bottom, top, high = np.percentile(finite, [1, 5, 95, 99]).tolist() if finite.size else (0.0,) * 4
        if high > low and finite.size >= LEAST:  # a plane of one value loses nothing
            away = max(abs(bottom - middle), abs(top - middle)) / (shared / 2)  # spikes are no range
            span = (top - bottom if high - low > UNLIKE * shared else high - low) / shared
            shares[index] = max(span, away) if away > UNLIKE else span
    most = max(shares.values(), default=1.0)
    strong = [index for index, share in shares.items() if share > UNLIKE]
    weak = [index for index, share in shares.items() if share * UNLIKE < max(most, 1.0)]
    if not weak and not strong:
        return ""
    axis = source.axes[_lead_axis(source, shares)]
    said = f"the {source.image.shape[axis]} planes along axis {axis} share one normalisation, and "
    if weak and not 0 < len(strong) < len(weak):
        part = max(most, 1.0) / min(shares.values())
        said += f"{_named(weak)} as little as 1/{part:.3g} of its range, so that detail is lost"
    else:
        said += f"{_named(strong)} up to {most:.3g} times its range, which no network has seen"
    if source.channel_axis is None:
        said += f". If axis {axis} holds channels, give channel_axis={axis}"
        give = "If not, give"
    else:
        give = "Give"
    return f"{said}. {give} normalize='plane': then each plane has a normalisation of its own"


def _lead_axis(source: Planes, shares: dict[Index, float]) -> int:
    """The leading axis along which planes differ most."""
    table = np.full(source.lead_shape, np.mean(np.log(list(shares.values()))))
    for index, share in shares.items():
        table[index] = np.log(share)
    others = [tuple(k for k in range(table.ndim) if k != kept) for kept in range(table.ndim)]
    return int(np.argmax([np.ptp(table.mean(axis=axes)) for axes in others]))


def _named(indices: Sequence[Index]) -> str:
    """What a message calls some planes."""
    names = ["/".join(map(str, index)) for index in indices]
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    verb = "spans" if len(names) == 1 else "span"
    return f"plane{'' if len(names) == 1 else 's'} {', '.join(names[:NAMED])}{rest} {verb}"
