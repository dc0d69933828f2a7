"""What is taken from an image layer when a run starts: later changes of the layer do not touch the run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_hush.errors import InputError
from napari_hush.inference.planes import Planes, has_one_colour
from napari_hush.io import looks_like_labels
from napari_hush.io.units import METRES, canonical
from napari_hush.widgets.parts.layer_record import file_notes, identity

if TYPE_CHECKING:
    from napari.layers import Image

Part = tuple[tuple[int, ...], tuple[int, int, int, int]]  # a plane, and a region of it: y0, y1, x0, x1
PLACE = "scale translate rotate shear units axis_labels affine".split()  # of a layer: where it lies
COPIED = (
    "scale translate rotate shear units axis_labels colormap gamma opacity blending rendering iso_threshold "
    "attenuation interpolation2d interpolation3d contrast_limits"
).split()


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """An image layer at one moment.

    Parameters
    ----------
    data : array_like, shape (..., Y, X) or (..., Y, X, C) for RGB
        As the layer holds it; the finest level of a multiscale layer.
    name : str
        The layer's name.
    identity : str
        What tells the layer from others, whatever they are called.
    rgb : bool
        Whether the last axis counts colours.
    style : dict
        Arguments of a layer that looks and lies like this one.
    channel_axis : int or None
        The axis of the colours or channels.
    notes : dict
        What the layer's file said of it, for a result to keep.
    """

    data: Any
    name: str
    rgb: bool
    style: dict[str, Any]
    channel_axis: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    identity: str = ""

    @classmethod
    def of(cls, layer: Image, channel_axis: int | None = None) -> Source:
        """Take what a run needs; the axis of channels is that of a layer that is no RGB."""
        style = style_of(layer)
        data, rgb = image_data(layer), bool(layer.rgb)
        last = rgb or (channel_axis is None and has_one_colour(data.shape))
        axis = len(data.shape) - 1 if last else channel_axis
        notes = file_notes(layer.metadata)
        notes.pop("history", None)  # that of the source, not of what is made of it
        known = {"name": layer.name, "identity": identity(layer)}
        return cls(data=data, rgb=rgb, style=style, channel_axis=axis, notes=notes, **known)

    @property
    def colours(self) -> Any:
        """The data without an alpha channel."""
        return self.data[..., :3] if self.rgb and self.data.shape[-1] == 4 else self.data

    def seen(self, part: Part) -> Part:
        """What is seen of the layer, see `visible_part`, as a plane of all channels and a region of it."""
        plane, axis = part[0], self.channel_axis
        if axis is None or self.rgb:
            return part
        if axis < len(plane):
            return (*plane[:axis], *plane[axis + 1 :]), part[1]
        height, width = Planes(self.data, axis).plane_shape  # Y and X are not the axes in sight
        return plane[:-1], (0, height, 0, width)

    def place(self, part: Part) -> tuple[tuple[slice, ...], tuple[int, ...]]:
        """The slices of the layer that a plane and a region of it take, and where they begin; without RGB's colours."""
        plane, region = part
        planes = Planes(self.data, self.channel_axis)
        slices = [slice(0, int(n)) for n in planes.image.shape]
        ends = [*((i, i + 1) for i in plane), region[:2], region[2:]]
        for axis, (start, stop) in zip(planes.axes, ends, strict=True):
            slices[axis] = slice(start, stop)
        slices = slices[:-1] if self.rgb else slices
        return tuple(slices), tuple(one.start for one in slices)

    def cut(self, region: tuple[int, int, int, int]) -> Source:
        """The region y0, y1, x0, x1 of all planes, where it lies; what is read when it is indexed stays so."""
        planes = Planes(self.data, self.channel_axis)
        parts, origin = [slice(None)] * len(planes.image.shape), [0] * len(planes.image.shape)
        for axis, ends in zip(planes.axes[-2:], (region[:2], region[2:]), strict=True):
            parts[axis], origin[axis] = slice(*ends), ends[0]
        count = len(origin) - self.rgb
        style = self.style | {"translate": translated(self.style, tuple(origin[:count]))}
        return replace(self, data=lazy_view(self.data, tuple(parts)), style=style)

    @property
    def pixel_size(self) -> float | None:
        """The larger side of a pixel, nm; None where the layer does not know it as a length."""
        sides = self.pixel_sizes
        return None if sides is None else max(sides)

    @property
    def pixel_sizes(self) -> tuple[float, float] | None:
        """The sides of a pixel along Y and X, nm; None where the layer does not know them as lengths."""
        steps = zip(self.style["scale"][-2:], self.style["units"][-2:], strict=True)
        y, x = (1e9 * abs(float(step)) * METRES.get(canonical(unit), np.nan) for step, unit in steps)
        return (y, x) if np.isfinite([y, x]).all() and min(y, x) > 0 else None


def style_of(layer: Image) -> dict[str, Any]:
    """Arguments of a layer that looks and lies like this one."""
    style = {name: getattr(layer, name) for name in COPIED}
    style["affine"] = np.array(layer.affine.affine_matrix)
    if layer.rgb:
        del style["contrast_limits"], style["colormap"]
    return style


def lazy_view(data: Any, parts: tuple[slice, ...]) -> Any:
    """A part of an array; what is read when it is indexed stays so."""
    if not isinstance(data, np.ndarray) and not hasattr(data, "__dask_graph__"):
        import dask.array

        data = dask.array.from_array(data, asarray=True)  # type: ignore[no-untyped-call]
    return data[parts]


def image_data(layer: Image) -> Any:
    """The array of a layer, the finest of a multiscale one."""
    return layer.data[0] if layer.multiscale else layer.data


def translated(style: dict[str, Any], origin: tuple[int, ...]) -> np.ndarray:
    """Where a part has to lie whose first pixel is the pixel ``origin`` of the source."""
    pose = Affine(
        scale=style["scale"],
        translate=style["translate"],
        rotate=style["rotate"],
        shear=style["shear"],
        ndim=len(origin),
    )
    return np.asarray(pose(origin), dtype=float)


def middle_of(region: tuple[int, int, int, int], side: int) -> tuple[int, int, int, int]:
    """The middle of a region y0, y1, x0, x1, at most so many px high and wide."""
    y0, y1, x0, x1 = region
    y, x = (max((begin + end - side) // 2, begin) for begin, end in ((y0, y1), (x0, x1)))
    return y, min(y + side, y1), x, min(x + side, x1)


def describe(layer: Image, channel_axis: int | None = None) -> str:
    """What will be denoised, in words."""
    data = image_data(layer)
    try:
        planes = Planes(data, len(data.shape) - 1 if layer.rgb else channel_axis)
    except InputError as error:
        return str(error)
    height, width = planes.plane_shape
    words = f"{width} x {height} pixels"  # as microscopes say it
    if lead := planes.lead_shape:
        labels = [str(layer.axis_labels[axis]) for axis in planes.axes[:-2]]
        names = [name for name in labels if not name.startswith("-")]  # "-3": unnamed
        words = (
            f"{np.prod(lead)} planes of ({', '.join(names)}), {words}" if names else f"{np.prod(lead)} planes, {words}"
        )
    if layer.rgb:
        words = f"{words}, {min(planes.n_channels, 3)} colours"
    elif planes.n_channels > 1:
        words = f"{words}, {planes.n_channels} channels"
    found = looks_like_labels(data, str(layer.source.path or layer.name)) if isinstance(data, np.ndarray) else ""
    return f"{words}; it looks like {found}, not like an image to denoise" if found else words


def visible_part(layer: Image, dims: Any) -> tuple[tuple[int, ...], tuple[int, int, int, int]]:
    """The current plane of a layer, and what is seen of it as y0, y1, x0, x1 in pixels.

    Parameters
    ----------
    layer : Image
        The layer.
    dims : napari.components.Dims
        Of its viewer. Where it does not show the last two axes, all of the plane counts as seen.
    """
    data = image_data(layer)
    shape = data.shape[: layer.ndim]
    centre = np.nan_to_num(np.asarray(layer.world_to_data(dims.point)))
    plane = tuple(int(np.clip(np.rint(i), 0, n - 1)) for i, n in zip(centre[:-2], shape[:-2], strict=True))
    height, width = shape[-2:]
    if set(dims.displayed) != {dims.ndim - 2, dims.ndim - 1}:
        return plane, (0, height, 0, width)
    corners = np.asarray(layer.corner_pixels, dtype=float)[:, -2:]
    if layer.multiscale:  # they are pixels of the level in sight
        corners = corners * np.asarray(layer.downsample_factors)[layer.data_level][-2:]
        corners[1] += np.asarray(layer.downsample_factors)[layer.data_level][-2:] - 1
    (y0, x0), (y1, x1) = np.clip(corners.astype(int), 0, [height - 1, width - 1])
    return plane, (int(y0), int(y1) + 1, int(x0), int(x1) + 1)
