"""How large tiles and batches may be: as large as the memory allows and as small as the cache likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.inference.tiles.geometry import Tile, aligned, balanced_tile, even_tile
from napari_hush.memory import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.model import Model

CPU_TILE_BYTES = 1400 << 20  # larger tiles spare hardly more halo
LAZY_TILE_BYTES = 450 << 20  # an image that is not in memory is kept out of it for a reason
GPU_TILE_BYTES = 4 << 30
LAZY_PIECE_BYTES = 240 << 20  # the same of a network beside a guard
LAZY_GUARD_BYTES = 170 << 20  # and of that guard
STAGED_TILE_PIXELS = 256 * 256
GUARD = 110  # bytes that a guard takes for a pixel of a tile and its margin
LATTICE_GUARD = 320  # the same where columns of a lattice are guarded


def tile_sides(
    model: Model,
    settings: DenoiseSettings,
    device: str,
    shape: tuple[int, int],
    *,
    lazy: bool,
    region: tuple[int, int, int, int] | None = None,
    margin: int = 0,
    lattice: bool = False,
) -> tuple[int, int] | None:
    """Choose the sides of a tile, px; None for one pass over the plane.

    Parameters
    ----------
    model, settings, device
        What is run, how and where.
    shape : (int, int)
        Y, X of the plane that the network sees, px.
    lazy : bool
        Whether the image is kept out of memory.
    region : (int, int, int, int), optional
        y0, y1, x0, x1: only this part is wanted.
    margin : int
        Px around a tile that must be right too.
    lattice : bool
        Whether a guard looks at the columns of a lattice there.
    """
    if settings.tile is False:
        return None
    if settings.tile is not None:
        return int(settings.tile), int(settings.tile)
    if goes_in_pieces(model, settings, device, margin=margin, region=region):
        limit = LAZY_GUARD_BYTES if lazy else CPU_TILE_BYTES
        area = min(free_memory(device) / 4, limit) / (LATTICE_GUARD if lattice else GUARD)
        tile = even_tile if lazy else balanced_tile  # what is not in memory goes to chunks, which are all alike
        return _within(shape, area, tile, halo=margin, stride=model.stride)
    limit = GPU_TILE_BYTES if device == "cuda" else LAZY_TILE_BYTES if lazy else CPU_TILE_BYTES
    area = min(free_memory(device) / 4, limit) / bytes_per_pixel(model)
    height, width = shape
    if model.staged:
        if device != "cpu" and aligned(height, model.stride) * aligned(width, model.stride) <= area:
            return None
        # a piece looks a few pixels far: small tiles cost little and stay in the processor's cache
        side = max(int(min(area, STAGED_TILE_PIXELS) ** 0.5) // model.stride, 1) * model.stride
        return side, side
    halo = model.halo + margin
    if region is not None:  # a preview computes what it shows and the halo around it, wherever it begins
        height, width = (end - begin + model.stride for begin, end in (region[:2], region[2:]))
        window = [aligned(side, model.stride) + 2 * aligned(halo, model.stride) for side in (height, width)]
        if window[0] * window[1] <= area:
            return height, width
    return _within((height, width), area, balanced_tile, halo=halo, stride=model.stride)


def goes_in_pieces(
    model: Model,
    settings: DenoiseSettings,
    device: str,
    *,
    margin: int,
    region: tuple[int, int, int, int] | None = None,
) -> bool:
    """Whether the network takes a tile and its margin in pieces of its own, see `pieces`; arguments as above."""
    return device == "cpu" and margin > 0 and settings.tile is None and region is None and not model.staged


def piece_sides(model: Model, shape: tuple[int, int], *, lazy: bool) -> tuple[int, int] | None:
    """Choose the sides of such a piece, px; None for the whole plane.

    Parameters
    ----------
    model, shape, lazy
        As of `tile_sides`.
    """
    area = min(free_memory("cpu") / 4, LAZY_PIECE_BYTES if lazy else CPU_TILE_BYTES) / bytes_per_pixel(model)
    return _within(shape, area, balanced_tile, halo=model.halo, stride=model.stride)


def _within(
    shape: tuple[int, int], area: float, tile: Callable[..., tuple[int, int]], *, halo: int, stride: int
) -> tuple[int, int] | None:
    if aligned(shape[0], stride) * aligned(shape[1], stride) <= area:
        return None
    return tile(shape, halo=halo, stride=stride, max_window_area=area)


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
