"""Which channels of an image go through a network together, and how they are read."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from napari_hush.inference.planes import Planes
    from napari_hush.model import Model

MANY = 16  # colours of a last axis that may have been taken for the width of a plane


@dataclass(frozen=True)
class Group:
    """Channels of the image that go through the network together, and those that come out of it."""

    inputs: list[int]
    outputs: list[int]


def group_key(source: Planes, group: Group) -> tuple[object, ...]:
    """What a measurement on some channels of an image depends on."""
    return tuple(group.inputs), tuple(group.outputs), source.channel_axis, source.levels


def channel_groups(source: Planes, model: Model) -> list[Group]:
    """Which channels go through the network together; a grey image is given to each colour of a model of colours."""
    channels = list(range(source.n_channels))
    shape = source.image.shape
    if source.channel_axis is None and len(shape) > 2 and shape[-1] <= MANY and min(shape[-3:-1]) > 4 * shape[-1]:
        warnings.warn(
            f"an image of shape {tuple(shape)} is taken for {prod(source.lead_shape)} planes of {shape[-2]} x "
            f"{shape[-1]} px: if its last axis holds colours, give channel_axis=-1 (--channel-axis {len(shape) - 1}, "
            "Channels in the dock)",
            UserWarning,
            stacklevel=2,
        )
    if model.depth > 1:
        if not source.lead_shape:
            raise InputError(
                f"the model {model.card.name!r} takes {model.depth} neighbouring slices of a stack, got a single image "
                f"of shape {tuple(source.image.shape)}: give the whole stack (Z, Y, X), or choose another model"
            )
        return [Group([channel], [channel]) for channel in channels]
    if model.image_channels == model.out_channels == len(channels) > 1:
        return [Group(channels, channels)]
    if {model.image_channels, model.out_channels} <= {1, 3}:
        return [Group([channel] * model.image_channels, [channel]) for channel in channels]
    came = (
        f"{len(channels)} in axis {source.channel_axis}" if source.channel_axis is not None else "1 (no channel_axis)"
    )
    raise InputError(
        f"the model {model.card.name!r} takes {model.image_channels} channels and gives {model.out_channels}, the "
        f"image has {came}: choose another model, or name the image's channels with channel_axis"
    )


def read_group(source: Planes, model: Model, index: tuple[int, ...], group: Group, y: slice, x: slice) -> np.ndarray:
    """A part of what the network takes for one plane, (C, Y, X): channels, or neighbouring slices."""
    if model.depth == 1:
        return source.read(index, group.inputs, y, x)
    *before, z = index
    slices = slices_around(z, source.lead_shape[-1], model.depth)
    return np.concatenate([source.read((*before, k), group.inputs, y, x) for k in slices])


def slices_around(z: int, count: int, depth: int) -> list[int]:
    """Which slices a network of some depth is given for one of a stack, which is mirrored at its first and last slice.

    The first slice has slice 1 on both sides: what is repeated is not its own noise, which would pass for structure
    that all slices have in common.

    Parameters
    ----------
    z : int
        The slice.
    count : int
        Slices of the stack.
    depth : int
        Slices that the network takes.

    Examples
    --------
    >>> slices_around(0, 10, 5), slices_around(8, 10, 5), slices_around(0, 1, 3)
    ([2, 1, 0, 1, 2], [6, 7, 8, 9, 8], [0, 0, 0])
    """
    period = max(2 * (count - 1), 1)
    places = ((z + k - depth // 2) % period for k in range(depth))
    return [min(place, period - place) if count > 1 else 0 for place in places]
