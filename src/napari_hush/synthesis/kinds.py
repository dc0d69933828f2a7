"""The kinds of images that a data set can show, each with what others need to know of it before one is drawn.

Nothing is imported that draws: the names and what is said of them can be listed at once.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from napari_hush.declare import imported

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import numpy as np
    from numpy.typing import NDArray

World = Literal["plain", "wide", "regular"]
NoiseOfKind = Literal["scan", "counting", "projections", "tomographs", "camera"]


class Slab(Protocol):
    """Anything that draws neighbouring slices of one body, (D, Y, X) with values from 0 to 1."""

    def __call__(self, shape: tuple[int, int], *, slices: int, rng: np.random.Generator | int) -> NDArray[np.float32]:
        """Draw ``slices`` of ``shape`` (Y, X), px."""
        ...


class Phantom(Protocol):
    """Anything that draws a clean image with values from 0 to 1, (Y, X) or with three colours (3, Y, X)."""

    def __call__(self, shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
        """Draw one image of ``shape`` (Y, X), px."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of images; one with ``draw`` is called with a shape and ``rng``, as a `Phantom`.

    Parameters
    ----------
    about : str
        What it is, in one line.
    draw : callable or str
        A `Phantom`, or where it is, ``"module:attribute"``: then it is imported when the first one is drawn. It may
        also give a pair: the image, and what is seen. Empty for lattices, which need more than a shape.
    noise : {"counting", "projections", "tomographs", "camera", "scan"}
        What goes onto it if the settings name no noise: counting; few projections with the noise of counting, of one
        instrument or of many; a camera's; or for lattices a scan's.
    wide : callable or str
        What ``draw`` is in the wide world; empty where that is the same.
    slab : callable or str
        A `Slab`, or where it is, which draws neighbouring slices of one body; empty where there are none.
    colours : bool
        Whether the images are (3, Y, X).
    from_images : bool
        Whether the user's own images can give a crystal and dents to it.
    settings : tuple of str
        The settings of a data set that mean something for this kind and not for all.

    Examples
    --------
    >>> PHANTOMS["foam"].about, PHANTOMS["foam"]((48, 64), rng=0).shape
    ('bubbles of many sizes in a solid disc, for tomography', (48, 64))
    """

    about: str
    draw: Phantom | str = ""
    noise: NoiseOfKind = "counting"
    wide: Phantom | str = ""
    slab: Slab | str = ""
    colours: bool = False
    from_images: bool = False
    settings: tuple[str, ...] = ("dose",)

    @property
    def projected(self) -> bool:
        """Whether its noise is that of projections, which no noise of an image can stand for."""
        return self.noise in ("projections", "tomographs")

    def __call__(self, shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
        """Draw one image of ``shape`` (Y, X), px: (Y, X) or (3, Y, X), values from 0 to 1."""
        return self.picture(shape, rng=rng)[0]

    def picture(
        self, shape: tuple[int, int], *, rng: np.random.Generator | int, world: World = "plain"
    ) -> tuple[NDArray[np.float32], str]:
        """Draw one image, and say what is seen where that is not always the same.

        Raises
        ------
        ValueError
            If what was drawn has another shape than this kind says.
        """
        named = self.wide if world == "wide" and self.wide else self.draw
        draw: Any = imported(named) if isinstance(named, str) else named
        made = draw(shape, rng=rng)
        image, seen = made if isinstance(made, tuple) else (made, "")
        expected = (3, *shape) if self.colours else tuple(shape)
        if image.shape != expected:
            raise ValueError(f"expected an image of shape {expected}, got {image.shape}; see colours of this kind")
        return image, seen

    def neighbours(self, shape: tuple[int, int], *, slices: int, rng: np.random.Generator | int) -> NDArray[np.float32]:
        """Draw neighbouring slices of one body, (D, Y, X).

        Raises
        ------
        ValueError
            If this kind has none, or what was drawn has another shape.
        """
        if not self.slab:
            raise ValueError("this kind of images has no neighbouring slices")
        draw: Any = imported(self.slab) if isinstance(self.slab, str) else self.slab
        image: NDArray[np.float32] = draw(shape, slices=slices, rng=rng)
        if image.shape != (slices, *shape):
            raise ValueError(f"expected slices of shape {(slices, *shape)}, got {image.shape}")
        return image


_PICTURES = "napari_hush.synthesis.pictures"
_ANGLES = ("dose", "angles")

PHANTOMS: dict[str, Kind] = {
    "foam": Kind(
        about="bubbles of many sizes in a solid disc, for tomography",
        draw=f"{_PICTURES}.slices:foam",
        slab=f"{_PICTURES}.slabs:foam_slab",
        noise="projections",
        settings=_ANGLES,
    ),
    "ellipses": Kind(
        about="random ellipses in a bright shell, in the manner of Shepp and Logan, for tomography",
        draw=f"{_PICTURES}.slices:ellipses",
        slab=f"{_PICTURES}.slabs:ellipses_slab",
        noise="projections",
        settings=_ANGLES,
    ),
    "tomography": Kind(
        about="any of these or a part with pores and cracks, as many tomographs show them",
        draw=f"{_PICTURES}.specimens:tomography",
        slab=f"{_PICTURES}.specimens:tomography_slab",
        noise="tomographs",
        settings=_ANGLES,
    ),
    "filaments": Kind(
        about="curved fibres with light from out of focus, for fluorescence", draw=f"{_PICTURES}.phantoms:filaments"
    ),
    "cells": Kind(about="nuclei with chromatin, and membranes, for fluorescence", draw=f"{_PICTURES}.phantoms:cells"),
    "dead-leaves": Kind(
        about="shapes of all sizes that hide one another, for photographs and anything",
        draw=f"{_PICTURES}.leaves:dead_leaves",
    ),
    "dead-leaves-rgb": Kind(
        about="the same in colour, for photographs", draw=f"{_PICTURES}.leaves:coloured_leaves", colours=True
    ),
    "tissue": Kind(
        about="blue nuclei in a pink matrix, for histology", draw=f"{_PICTURES}.phantoms:tissue", colours=True
    ),
    "general": Kind(
        about="grey images of all sorts with the noise of cameras",
        draw=f"{_PICTURES}.general:random_picture",
        noise="camera",
        wide=f"{_PICTURES}.instruments:random_instrument_picture",
        settings=("world",),
    ),
}

LATTICES: dict[str, Kind] = {
    "lattice": Kind(
        about="lattices of any kind, or your own crystal, through dents that multiply",
        noise="scan",
        from_images=True,
        settings=("dose", "period", "rescale_to", "dent_share", "mask_share", "lattice_share", "world"),
    ),
    "published": Kind(
        about="your own crystal with a mask added, as it was published, to compare with",
        noise="scan",
        from_images=True,
        settings=("dose", "magnification"),
    ),
}

# Both, listed from the last one to the first; what is added to PHANTOMS is in it.
KINDS: MutableMapping[str, Kind] = ChainMap(PHANTOMS, LATTICES)
