"""Measure an image, and decide what is done with it before its first tile."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.inference.channels import channel_groups, group_key, read_group
from napari_hush.inference.guards.guard import guard_margin
from napari_hush.inference.guards.strict import strict_margin
from napari_hush.inference.known import Known
from napari_hush.inference.ledger import weights_sha256
from napari_hush.inference.measure import (
    MeasuredLattice,
    fitting_model,
    is_guarded,
    is_slow_guarded,
    looks_for_lattice,
    measure_scale,
    wrong_model,
)
from napari_hush.inference.plan import Pass, Plan
from napari_hush.inference.planes import Planes
from napari_hush.inference.ranges import norms_steps
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.inference.tiles.geometry import Tile
from napari_hush.inference.tiles.sizes import network_sides, tile_sides
from napari_hush.inference.together import frames_of
from napari_hush.io.formats.zarr_read import watched_zarr
from napari_hush.normalize import Normalization
from napari_hush.progress import MEASURING, Progress

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.ledger import Ledger
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.plan import Region
    from napari_hush.model import Model


def plan_steps(
    image: Any,
    model: str | Path | Model,
    settings: DenoiseSettings,
    loaded: LoadedModels,
    *,
    channel_axis: int | None = None,
    engine: Engine | None = None,
    plane: tuple[int, ...] | None = None,
    region: Region | None = None,
    ledger: Ledger | None = None,
    known: Known | None = None,
) -> Generator[Progress, None, Plan]:
    """Measure an image and decide what is done with it.

    Parameters
    ----------
    image, model, settings, channel_axis, engine, plane, region
        As of `denoise_steps`.
    loaded : LoadedModels
        Gives the model and its engine.
    ledger : Ledger, optional
        Of an earlier run, whose measurements are taken and whose model and engine must be the same; or of this one.
    known : Known, optional
        What was measured on this image before.

    Yields
    ------
    Progress
        So that it can be left.

    Returns
    -------
    Plan
        As the value of the generator.

    Raises
    ------
    InputError
        If image, model and settings do not fit together.
    """
    known = known or Known()
    source = Planes(watched_zarr(image), channel_axis)
    each = settings.normalize == "plane"
    yield Progress(0, 1, MEASURING)
    source = yield from source.lowered_steps(each=each, known=known)
    measured: dict[str, Any] = {} if ledger is None else dict(ledger.measured)
    lattice, reason = MeasuredLattice(source, [0], kept=known), ""
    if model == AUTO:
        yield Progress(0, 1, MEASURING)
        if "model" not in measured:
            yield from lattice.steps()
        model, reason = measured.get("model") or fitting_model(lattice)
        measured["model"] = [model, reason]
    model = loaded.model(model)
    if ledger is not None:
        ledger.settle(model={"model": model.card.name, "its weights": weights_sha256(model)})
    groups = channel_groups(source, model)
    if (channels := sorted(set(groups[0].inputs))) != lattice.channels or "lattice" in measured:
        lattice = MeasuredLattice(source, channels, measured.get("lattice", ()), known)
    if region is not None:
        _check_region(region, source.plane_shape)
    if looks_for_lattice(model, settings):
        yield from lattice.steps()
    frames = frames_of(lattice, model, settings, region=region is not None)
    indices = _plane_indices(source, plane)
    if frames > 1 and plane is not None:  # its neighbours are looked at, too
        indices = [(number, *plane[1:]) for number in range(source.lead_shape[0])]
    if engine is None:
        y0, y1, x0, x1 = region or (0, source.plane_shape[0], 0, source.plane_shape[1])
        engine = loaded.engine(model, (y1 - y0) * (x1 - x0) * len(indices) * len(groups))
    if ledger is not None:
        ledger.settle(computes={"engine": engine.name, "device": engine.device, "precision": engine.precision})
    yield Progress(0, 1, MEASURING)
    spacing, scaled = measure_scale(lattice, model, settings)
    norms = [{tuple(index): Normalization(**one) for index, one in found} for found in measured.get("norms", ())]
    for group in groups[len(norms) :]:
        rule = model.normalization
        key = ("norms", *group_key(source, group), scaled, rule, settings.normalize, settings.dark)
        # what all planes share does not depend on those that are wanted
        these = () if settings.normalize == "stack" else tuple(indices)
        measure = partial(norms_steps, source, group, scaled, rule, settings, indices)
        found = yield from known.steps((*key, these), measure)
        norms.append(found if these else dict.fromkeys(indices, next(iter(found.values()))))
    guarded = is_guarded(model, settings)
    period = spacing and spacing * scaled.factor
    margin = scaled.keep
    if settings.guard == "strict" and period is not None:
        margin += strict_margin(period)
    elif guarded:
        margin += guard_margin(period, slow=is_slow_guarded(model, settings))
    lazy, shape = source.lazy, scaled.seen_shape
    part = needed = scaled.seen_region(region) if region else None
    if part is not None and not model.staged:
        needed = Tile(part, part).around(margin, shape).core
    begun = ledger if ledger is not None and ledger.has_begun else None
    side = network_side = network_sides(model, settings, engine.device, shape, lazy=lazy, region=needed)
    if begun is not None:
        side, network_side = begun.begun, begun.begun_network
    elif margin and not model.staged:
        side = tile_sides(model, settings, shape, lazy=lazy, region=part, margin=margin, lattice=period is not None)
    passes = []
    for index in indices:
        for group, norm in zip(groups, [found[index] for found in norms], strict=True):
            native = partial(read_group, source, model, index, group)
            read = partial(scaled.read, native, norm.fill)
            place = index if plane is None else (0,) * len(index)
            passes.append(Pass(index=index, place=place, group=group, norm=norm, native=native, read=read))
    advice = "" if reason else wrong_model(lattice, model)
    if ledger is not None:
        kept = [[[index, asdict(norm)] for index, norm in found.items()] for found in norms]
        ledger.keep_measured(measured | {"lattice": lattice.found, "norms": kept})
    return Plan(
        source=source,
        model=model,
        chosen_because=reason,
        advice=advice,
        settings=settings,
        engine=engine,
        passes=tuple(passes),
        spacing=spacing,
        scaled=scaled,
        guarded=guarded,
        margin=margin,
        side=side,
        network_side=network_side,
        plane=plane,
        region=region,
        frames=frames,
        streaks=None if is_slow_guarded(model, settings) else lattice.projections,
        batch=None if begun is None else begun.head["batch"],
        known=known,
    )


def _check_region(region: Region, shape: tuple[int, int]) -> None:
    y0, y1, x0, x1 = region
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise InputError(f"region {region} is no part of a plane of {shape[0]} x {shape[1]} px: give y0, y1, x0, x1")


def _plane_indices(source: Planes, plane: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    if plane is None:
        return list(source.indices())
    lead = source.lead_shape
    if len(plane) != len(lead) or not all(0 <= i < n for i, n in zip(plane, lead, strict=True)):
        raise InputError(f"plane {plane} does not exist: the leading axes have the shape {lead}")
    return [plane]
