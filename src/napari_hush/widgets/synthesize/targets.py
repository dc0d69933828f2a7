"""Synthetic targets as layers: one with its truth, or many as stacks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points

from napari_hush.errors import InputError
from napari_hush.memory import free_memory
from napari_hush.progress import Progress
from napari_hush.synthesis.kinds import KINDS
from napari_hush.widgets.parts.layer_record import as_metadata, read_record

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_hush.datasets.drawing import Drawer, Target
    from napari_hush.datasets.settings import SynthesisSettings

COLOURS = np.array([[0.2, 0.8, 1, 1], [1, 0.7, 0, 1], [0.4, 1, 0.4, 1], [1, 0.4, 0.8, 1]])  # by species, RGBA
DENTED = "#ff5050"
ALWAYS_FITS = 1 << 28  # bytes; the free memory is not even looked up


def show_image(
    viewer: ViewerModel, role: str, data: NDArray[Any], record: dict[str, Any], **options: Any
) -> tuple[Image, bool]:
    """Show an image in the layer that has this role, or in a new one; returns it, and whether it is new."""
    rgb = bool(options.pop("rgb", False))
    for layer in [one for one in viewer.layers if _role(one) == role]:
        if layer.rgb != rgb:  # a layer cannot change that
            viewer.layers.remove(layer)
        else:
            layer.data = data
            layer.metadata = _metadata(role, record)
            _put(layer, options)
            if not rgb and "contrast_limits" in options:
                layer.contrast_limits = options["contrast_limits"]
            return layer, False
    if rgb:
        options.pop("contrast_limits", None)
    return viewer.add_image(data, rgb=rgb, metadata=_metadata(role, record), **options), True


def beside(viewer: ViewerModel, layer: Image | None) -> dict[str, Any]:
    """Where targets lie: right of an image layer and pixel for pixel as large, or at the origin without one.

    napari measures all layers of a viewer in one unit, so pixels beside nanometres would raise a warning with every
    drawing: without a layer, the first image that has another unit stands for it.
    """
    if layer is None:
        calibrated = (one for one in viewer.layers if isinstance(one, Image) and str(one.units[-1]) != "pixel")
        layer = next(calibrated, None)
    if layer is None:
        return {}
    (top, left), (_, edge) = layer.extent.world[:, -2:]
    return {
        "scale": np.abs(layer.scale[-2:]),
        "translate": np.array([top, edge + 0.05 * (edge - left)]),
        "units": layer.units[-2:],
    }


def show_target(
    viewer: ViewerModel, target: Target, settings: SynthesisSettings, number: int, place: dict[str, Any]
) -> None:
    """Show one target as image layers with its truth; a second one takes the layers of the first.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are.
    target : Target
        What was drawn.
    settings : SynthesisSettings
        What it was drawn with.
    number : int
        Its number.
    place : dict
        Where to, from `beside`.
    """
    from napari_hush.synthesis import noise_to_dict

    truth = target.truth() | {"noise": noise_to_dict(target.noise)}
    record = {"settings": _settings(settings), "number": number, **truth}
    colours = target.clean.ndim == 3
    clean, noisy = (np.moveaxis(image, 0, -1) if colours else image for image in (target.clean, target.noisy))
    active = viewer.layers.selection.active
    style: dict[str, Any] = {"rgb": colours, **place}
    show_image(viewer, "target clean", clean, record, name="target · clean", contrast_limits=(0, 1), **style)
    grey = limits(target.noisy)
    layer, new = show_image(viewer, "target noisy", noisy, record, name="target · noisy", contrast_limits=grey, **style)
    _show_mask(viewer, target.mask, record, place)
    size = max(0.3 * target.period, 3.0) if np.isfinite(target.period) else 3.0
    colour = COLOURS[target.species % len(COLOURS)]
    _show_points(viewer, "atoms", target.positions, record, place, colour, size, {"species": target.species})
    red = np.array([1.0, 0.2, 0.2, 1])
    _show_points(viewer, "vacancies", target.vacancies, record, place, red, size, {}, symbol="x")
    viewer.layers.selection.active = layer if new else active
    if new:
        viewer.reset_view()


def _show_mask(viewer: ViewerModel, mask: NDArray[np.bool_], record: dict[str, Any], place: dict[str, Any]) -> None:
    role, data = "target dents", mask.astype(np.uint8)
    for layer in viewer.layers:
        if _role(layer) == role and isinstance(layer, Labels):
            layer.data = data
            layer.metadata = _metadata(role, record)
            _put(layer, place)
            return
    if mask.any():
        colours = {1: DENTED, None: "transparent"}
        metadata = _metadata(role, record)
        layer = viewer.add_labels(
            data, name="target · dents", metadata=metadata, colormap=colours, opacity=0.9, **place
        )
        layer.contour = 1


def _show_points(
    viewer: ViewerModel,
    what: str,
    positions: NDArray[np.float64],
    record: dict[str, Any],
    place: dict[str, Any],
    colour: NDArray[np.float64],
    size: float,
    features: dict[str, Any],
    symbol: str = "ring",
) -> None:
    role = f"target {what}"
    for layer in viewer.layers:
        if _role(layer) == role and isinstance(layer, Points):
            layer.selected_data = set()
            layer.data = positions
            layer.metadata = _metadata(role, record)
            _put(layer, place)
            if len(positions):
                layer.features = features
                layer.size = size
                layer.face_color = colour
            return
    if len(positions):
        viewer.add_points(
            positions,
            name=f"target · {what}",
            metadata=_metadata(role, record),
            features=features,
            face_color=colour,
            size=size,
            symbol=symbol,
            border_width=0,
            opacity=0.9,
            **place,
        )


@dataclass(eq=False)
class Stack:
    """Targets as they come: what is finished stays when the job is cancelled."""

    settings: SynthesisSettings | None = None
    noisy: NDArray[np.float32] | None = None
    clean: NDArray[np.float32] | None = None
    transmission: NDArray[np.float32] | None = None
    truths: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n(self) -> int:
        """How many there will be."""
        return 0 if self.settings is None else self.settings.n

    def draw(self, drawer: Drawer) -> Generator[Progress, None, None]:
        """Draw all images of the settings, those for training first."""
        from napari_hush.datasets.drawing import Drawer
        from napari_hush.datasets.synthesize import draw_steps

        s = self.settings = replace(drawer.settings, layout="paired")  # of an unpaired set, one side has all there is
        drawer = Drawer(s, drawer.materials)
        colours = (3,) if KINDS[s.kind].colours else ()
        self.noisy, self.clean = (np.zeros((s.n, *s.shape, *colours), np.float32) for _ in range(2))
        self.transmission = np.zeros((s.n, *s.shape), np.float32)
        made: list[Target] = []
        with closing(draw_steps(drawer, made)) as steps:
            for _ in steps:
                while made:  # one is held at a time, not all of them beside the stack
                    self._take(made.pop(0))
                yield Progress(len(self.truths), s.n, f"image {len(self.truths)} of {s.n}")

    def _take(self, target: Target) -> None:
        from napari_hush.synthesis import noise_to_dict

        assert self.noisy is not None and self.clean is not None and self.transmission is not None
        k = len(self.truths)
        self.noisy[k], self.clean[k] = (
            np.moveaxis(image, 0, -1) if image.ndim == 3 else image for image in (target.noisy, target.clean)
        )
        self.transmission[k] = target.transmission
        truth = target.truth() | {"noise": noise_to_dict(target.noise)}
        self.truths.append({name: truth[name] for name in truth if name not in ("transmission", "mask")})


def show_stack(viewer: ViewerModel, stack: Stack, place: dict[str, Any]) -> int:
    """Add what is finished as layers (N, Y, X); returns N."""
    count = len(stack.truths)
    if not count or stack.settings is None or stack.noisy is None or stack.clean is None or stack.transmission is None:
        return 0
    record = {"settings": _settings(stack.settings), "truths": stack.truths}
    rgb = stack.noisy.ndim == 4
    first = {"scale": 1.0, "translate": 0.0, "units": "pixel"}  # of the axis that counts
    place = {name: (first[name], *value) for name, value in place.items()}
    for what, data in (("transmission", stack.transmission), ("clean", stack.clean), ("noisy", stack.noisy)):
        coloured = rgb and what != "transmission"
        options = {} if coloured else {"contrast_limits": limits(data[:count]) if what == "noisy" else (0, 1)}
        viewer.add_image(
            data[:count],
            name=f"targets · {what}",
            rgb=coloured,
            visible=what != "transmission",
            axis_labels=("target", "y", "x"),
            metadata=_metadata(f"targets {what}", record),
            **place,
            **options,
        )
    viewer.reset_view()
    return count


def shown_noisy(viewer: ViewerModel, role: str) -> Any:
    """The topmost layer with the noisy images of one target or of many."""
    return next((layer for layer in reversed(viewer.layers) if _role(layer) == role), None)


def check_memory(settings: SynthesisSettings) -> None:
    """Refuse a stack that needs more than half of the free memory; call it in the thread.

    Raises
    ------
    InputError
        If it would not fit.
    """
    values = settings.n * settings.shape[0] * settings.shape[1] * (7 if KINDS[settings.kind].colours else 3)
    needed = 4 * values
    if needed <= ALWAYS_FITS:
        return
    free = free_memory("cpu")
    if needed > free / 2:
        raise InputError(
            f"{settings.n} images need {needed / 2**30:.1f} GB as layers and {free / 2**30:.1f} GB of memory are free: "
            "press 'Save data set…' to write them to disk instead, or lower n"
        )


def limits(image: NDArray[Any]) -> tuple[float, float]:
    """Contrast limits that leave out the extremes."""
    planes = image.reshape(-1, *image.shape[-2:])
    sample = planes[:: max(1, len(planes) // 16)]
    low, high = (float(v) for v in np.percentile(sample, (0.5, 99.5)))
    return (low, high) if high > low else (low, low + 1)


def _put(layer: Any, place: dict[str, Any]) -> None:
    for name in ("scale", "translate", "rotate", "shear", "affine", "units"):
        if name in place:
            setattr(layer, name, place[name])


def _settings(settings: SynthesisSettings) -> dict[str, Any]:
    from napari_hush.synthesis import noise_to_dict

    table = asdict(replace(settings, noises=()))
    return table | {"noises": [noise_to_dict(noise) for noise in settings.noises]}


def _metadata(role: str, record: dict[str, Any]) -> dict[str, Any]:
    return as_metadata({"synthesise": role, **record})


def _role(layer: Any) -> str:
    return str(read_record(layer.metadata).get("synthesise", ""))
