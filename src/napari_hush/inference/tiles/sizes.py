"""How large tiles and batches may be: as large as the memory allows and as small as the cache likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.inference.engines.devices import is_cuda
from napari_hush.inference.tiles.geometry import Tile, aligned, balanced_tile, even_tile
from napari_hush.memory import free_memory

if TYPE_CHECKING:
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.model import Model

CPU_TILE_BYTES = 1400 << 20  # larger tiles spare hardly more halo
LAZY_TILE_BYTES = 240 << 20  # an image that is not in memory is kept out of it for a reason
GPU_TILE_BYTES = 4 << 30
GUARD_BYTES = {True: 85, False: 55}  # that a guard and its images take for a pixel, with and without a lattice
LAZY_GUARD_BYTES = 100 << 20  # smaller tiles would be margin for the most part
STAGED_TILE_PIXELS = 256 * 256

Part = tuple[int, int, int, int]


def network_sides(
    model: Model,
    settings: DenoiseSettings,
    device: str,
    shape: tuple[int, int],
    *,
    lazy: bool,
    region: Part | None = None,
) -> tuple[int, int] | None:
    """Choose the sides of what one pass of the network gives, px; None for one pass over the plane.

    Parameters
    ----------
    model, settings, device
        What is run, how and where.
    shape : (int, int)
        Y, X of the plane that the network sees, px.
    lazy : bool
        Whether the image is kept out of memory.
    region : (int, int, int, int), optional
        y0, y1, x0, x1: only this part is needed.
    """
    if settings.tile is not None:
        return _asked(settings.tile)
    limit = GPU_TILE_BYTES if is_cuda(device) else LAZY_TILE_BYTES if lazy else CPU_TILE_BYTES
    area = min(free_memory(device) / 4, limit) / bytes_per_pixel(model)
    if model.staged:
        if device != "cpu" and aligned(shape[0], model.stride) * aligned(shape[1], model.stride) <= area:
            return None
        # a piece looks a few pixels far: small tiles cost little and stay in the processor's cache
        side = max(int(min(area, STAGED_TILE_PIXELS) ** 0.5) // model.stride, 1) * model.stride
        return side, side
    return _sides(shape, region, model.halo, model.stride, area)


def tile_sides(
    model: Model,
    settings: DenoiseSettings,
    shape: tuple[int, int],
    *,
    lazy: bool,
    region: Part | None = None,
    margin: int,
    lattice: bool,
) -> tuple[int, int] | None:
    """Choose the sides of a tile that is handed out with what its guards look at, px; None for the whole plane.

    Parameters
    ----------
    model, settings, shape, lazy
        As of `network_sides`.
    region : (int, int, int, int), optional
        y0, y1, x0, x1: only this part is wanted.
    margin : int
        Px around a tile that its guards look at.
    lattice : bool
        Whether they give columns back.
    """
    if settings.tile is not None:
        return _asked(settings.tile)
    limit = LAZY_GUARD_BYTES if lazy else CPU_TILE_BYTES
    area = min(free_memory("cpu") / 4, limit) / (GUARD_BYTES[lattice] * max(model.out_channels, 1))
    if lazy and region is None and aligned(shape[0], model.stride) * aligned(shape[1], model.stride) > area:
        # an output that is not in memory has chunks, which are all alike
        return even_tile(shape, halo=margin, stride=model.stride, max_window_area=area)
    return _sides(shape, region, margin, model.stride, area)


def _asked(tile: int | bool) -> tuple[int, int] | None:
    return None if tile is False else (int(tile), int(tile))


def _sides(shape: tuple[int, int], region: Part | None, halo: int, stride: int, area: float) -> tuple[int, int] | None:
    """The sides of tiles of which one with its halo has no more than an area, px."""
    height, width = shape
    if region is not None:  # a preview computes what it shows and the halo around it, wherever it begins
        height, width = (end - begin + stride for begin, end in (region[:2], region[2:]))
        window = [aligned(side, stride) + 2 * aligned(halo, stride) for side in (height, width)]
        if window[0] * window[1] <= area:
            return height, width
    elif aligned(height, stride) * aligned(width, stride) <= area:
        return None
    return balanced_tile((height, width), halo=halo, stride=stride, max_window_area=area)


def batch_size(model: Model, tile: Tile, device: str) -> int:
    """Choose how many tiles are computed at once; on a CPU one keeps all cores busy.

    Parameters
    ----------
    model, device
        What is run, and where.
    tile : Tile
        Any of the plan.
    """
    if device == "cpu":
        return 1
    area = (tile.window[1] - tile.window[0]) * (tile.window[3] - tile.window[2])
    return int(np.clip(free_memory(device) / 2 / (area * bytes_per_pixel(model)), 1, 16))


def bytes_per_pixel(model: Model) -> int:
    """Memory that a network takes for a pixel of its input, bytes."""
    return 4 * int(model.network.live_channels)  # type: ignore[arg-type]
