"""A layer denoised into a zarr instead of into memory: the work itself, which knows nothing of napari."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.ledger import Restart
from napari_hush.io import zarr_writer
from napari_hush.io.formats.zarr_growing import GrowingArray
from napari_hush.io.history import add_to_zarr, read_history, software
from napari_hush.io.image import Scales, make_image
from napari_hush.io.metadata import Metadata
from napari_hush.progress import Progress, within

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_hush.inference.settings import DenoiseSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """What is denoised into which file.

    Parameters
    ----------
    target : Path
        A name that ends in ``.zarr`` and that nothing has.
    model : str or Path
        A bundled one, or a file.
    settings : DenoiseSettings
        How it is run.
    dtype : str or None
        Number type of the result; None takes float32, or float64 where it has to be.
    channel_axis : int or None
        The axis of colours or channels.
    first : int
        The plane that is done first, along the first axis.
    resume : bool
        Whether an unfinished run to the same file goes on; otherwise it is thrown away.
    axes, scales, metadata
        Of the image, for the file.
    notes : dict
        What is kept in the file besides how it was made: JSON-able.
    """

    target: Path
    model: str | Path
    settings: DenoiseSettings
    dtype: str | None
    channel_axis: int | None
    first: int
    resume: bool
    axes: str
    scales: Scales
    metadata: Metadata = field(default_factory=Metadata)
    notes: dict[str, Any] = field(default_factory=dict)


def denoise_to_disk(image: Any, order: Order) -> Generator[Progress, None, dict[str, Any]]:
    """Denoise into a zarr, whose smaller levels are there from the first tile on; returns how it was made.

    A run that is left, or that fails, can be gone on with.

    Parameters
    ----------
    image : array_like, or bytes of `napari_hush.widgets.parts.portable.packed`
        Never read as a whole.
    order : Order
        What to do.
    """
    yield Progress(0, 0, "starting…" if "torch" in sys.modules else "loading PyTorch…")
    from napari_hush.inference.denoise import denoise_steps

    if isinstance(image, bytes):
        from napari_hush.widgets.parts.portable import unpacked

        image = unpacked(image)
    yield Progress(0, 0, "loading the model…")
    like = make_image(image, order.axes, order.scales, str(order.target), order.metadata)
    made = {"software": software(), "made": "denoised", **order.notes}

    @contextmanager
    def writer(*, dtype: Any, **options: Any) -> Iterator[GrowingArray]:
        options |= {"dtype": order.dtype or dtype, "like": like, "history": made}
        with zarr_writer(order.target, shape=like.shape, **options) as array:
            yield GrowingArray(array)

    steps = denoise_steps(
        image,
        order.model,
        order.settings,
        channel_axis=order.channel_axis,
        out=writer,
        first=order.first,
        restart=Restart(order.target, order.resume, keep=True, facts={"axes": order.axes, "number type": order.dtype}),
    )

    def told(event: Progress) -> Progress:
        if event.step and event.step == event.total:
            return Progress(0, 0, "making the smaller levels…")
        return Progress(event.step, event.total, event.message)

    done = yield from within(steps, told)
    file = {"model_path": str(order.model)} if Path(order.model).is_file() else {}
    record = done.provenance | file | order.notes | {"file": str(order.target)}
    keep_in_file(order.target, **record)
    return record


def keep_in_file(target: Path, **notes: Any) -> None:
    """Add to what a finished file says of how it was made; nothing where it has gone meanwhile."""
    if (history := read_history(target)) is not None:
        add_to_zarr(target, history | notes)


def number_type(data: Any, *, rgb: bool, as_input: bool) -> str | None:
    """The type of a result in a file, for `Order`.

    Examples
    --------
    >>> image = np.zeros((4, 4), np.uint16)
    >>> number_type(image, rgb=False, as_input=True), number_type(image, rgb=False, as_input=False)
    ('uint16', None)
    """
    dtype = np.dtype(data.dtype)
    if dtype.kind != "b" and (as_input or (rgb and dtype.kind != "f")):
        return str(dtype.newbyteorder("="))
    return None
