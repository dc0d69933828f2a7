"""What a network is given beside a patch of a real image: its companions, from the whole image around it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.companions import LatticeCompanions
from napari_hush.training.data.patches import finite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hush.training.data.images import ImageSet
    from napari_hush.training.data.patches import Array, Window


class Beside:
    """The lattices of a set of images, each measured when it is first needed.

    Parameters
    ----------
    images : ImageSet
        Grey images; the lattices of clean ones are those of the noisy ones.

    Raises
    ------
    InputError
        If the images have several channels.
    """

    def __init__(self, images: ImageSet) -> None:
        if images.channels > 1:
            raise InputError(
                f"lattice companions go with grey images, these have {images.channels} channels: choose "
                "companions='none', or convert the images to grey"
            )
        self._images = images
        self._found: dict[int, LatticeCompanions] = {}
        self._lock = threading.Lock()

    def lattices(self, number: int) -> LatticeCompanions:
        """The crystals of one image."""
        with self._lock:
            known = self._found.get(number)
        if known is None:
            known = LatticeCompanions.measure(lambda y, x: self._plane(number, y, x), self._images.shape(number))
            with self._lock:
                self._found[number] = known
        return known

    def of(self, number: int, window: Window) -> Array:
        """The companions of some rows and columns, which lie close together: (2, Y, X) in the image's own units."""
        (top, bottom), (left, right) = ((int(w.min()), int(w.max()) + 1) for w in window)
        made = self.lattices(number).read(
            lambda y, x: self._plane(number, y, x),
            slice(top, bottom),
            slice(left, right),
            lambda y, x: np.isfinite(self._images.read(number, y, x)[0]),
        )
        return _chosen(made, window, top, left)

    def noised(
        self, number: int, window: Window, clean: Callable[[Window], Array], noise: Callable[[Array], Array]
    ) -> Array:
        """A patch with new noise and its companions, which have the noise of their own places: (3, Y, X).

        Parameters
        ----------
        number, window
            The image and what is wanted of it.
        clean : callable
            Gives (1, Y, X) without noise for rows and columns.
        noise : callable
            Puts noise onto it.
        """
        found, shape = self.lattices(number), self._images.shape(number)
        ends = [(int(w.min()), int(w.max()) + 1) for w in window]
        around = [(max(a - found.reach, 0), min(b + found.reach, n)) for (a, b), n in zip(ends, shape, strict=True)]
        (y0, y1), (x0, x1) = around
        noisy = noise(clean((np.arange(y0, y1), np.arange(x0, x1))))
        made = found.read(
            lambda y, x: noisy[0, y.start - y0 : y.stop - y0, x.start - x0 : x.stop - x0],
            slice(*ends[0]),
            slice(*ends[1]),
        )
        patch = _chosen(noisy, window, y0, x0)
        return np.concatenate([patch, _chosen(made, window, ends[0][0], ends[1][0])])

    def _plane(self, number: int, y: slice, x: slice) -> NDArray[np.floating]:
        return np.asarray(finite(self._images.read(number, y, x))[0], dtype=np.float64)


def _chosen(block: NDArray[np.floating], window: Window, top: int, left: int) -> Array:
    """Rows and columns out of a block (C, Y, X) that begins at ``top``, ``left``."""
    y, x = window
    return np.ascontiguousarray(block[:, y - top][:, :, x - left], dtype=np.float32)
