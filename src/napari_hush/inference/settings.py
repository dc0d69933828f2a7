"""How to run a model, declared once: the form in napari, the command line and the saved record derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_hush.declare import Bounds, NamesOf, check_fields
from napari_hush.inference.engines.devices import Device  # noqa: TC001 - the field is read
from napari_hush.inference.engines.registry import ENGINES, Precision

AUTO = "auto"  # as the name of a model: the bundled one that fits the image


@dataclass(frozen=True, kw_only=True)
class DenoiseSettings:
    """How a model is run; ``precision``, ``tile``, ``batch_size``, engine and device change the result hardly or not.

    Parameters
    ----------
    device : str
        Where to compute: cpu; cuda, the first GPU; cuda:1, the second one; mps, Apple's; ``auto`` takes the fastest.
    tile : int, False or None
        Side of the kept part of a tile, px; None chooses by memory, False forces one pass per plane.
    batch_size : int or None
        Tiles that are computed at once; None chooses by memory.
    engine : str
        What runs the network; ``auto`` takes OpenVINO on a CPU where it is installed and the image is not small.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic; ``auto`` takes bfloat16 with OpenVINO on processors that have it natively and on such GPUs, float32
        elsewhere. Float32 is not rounded to TF32.
    guard : {"auto", "strict", True, False}
        Take slow contrast, and how much lattice there is at each place, from the noisy image, so that no dent is
        filled. Columns of a lattice that the network took away come back, each with its own height; without a lattice
        what stands out of the noise in what it took away does. ``auto`` guards every model with as many channels out
        as in, and leaves slow contrast out where its file says so (streaks of tomography); ``True`` refuses those with
        other channels. ``strict`` takes each atom column's position and height from the noisy image too, unbiased and
        as noisy as they are there: for strain, polarisation and the counting of atoms. It needs a lattice.
    rescale : {"auto", True, False}
        Bring the image to the lattice period that the model works at, and the result back. ``auto`` does so where the
        image has a lattice and the model such a period; ``True`` refuses others.
    frames : {"auto", False} or int
        How many frames of a series (T, Y, X) look together: they are registered, and each pixel is carried by those
        that agree with it; what moves or changes is not averaged. ``auto`` takes 8 where neighbours prove alike, and
        leaves slices with the streaks of tomography alone; False denoises each plane by itself.
    normalize : {"stack", "plane"}
        Planes share one normalisation, so that their brightness can be compared, or each has its own: for planes that
        differ in brightness by more than ten times.
    dark : bool
        Atom columns are darker than what is around them (bright field, ABF): the network, which knows bright ones,
        sees the image with its contrast turned.
    strength : float
        The share of what was taken away that stays taken away, from 0 to 1: the result is noisy + strength *
        (denoised - noisy). Less than 1 leaves noise, and what the network made up counts less.
    """

    device: Device = "auto"
    tile: Annotated[int, Bounds(1, 2**20)] | Literal[False] | None = None
    batch_size: Annotated[int, Bounds(1, 2**20)] | None = None
    engine: Annotated[str, NamesOf(ENGINES, ("auto",))] = "auto"
    precision: Precision = "auto"
    guard: Literal["auto", "strict"] | bool = "auto"
    rescale: Literal["auto"] | bool = "auto"
    frames: Annotated[int, Bounds(2, 64)] | Literal["auto", False] = "auto"
    normalize: Literal["stack", "plane"] = "stack"
    dark: bool = False
    strength: Annotated[float, Bounds(0, 1)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self)
