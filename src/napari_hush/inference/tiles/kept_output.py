"""What a network gave for whole planes, kept so that another guard can be tried without running it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.inference.engines.at_once import Computed

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from napari_hush.inference.engines.at_once import Handle
    from napari_hush.inference.tiles.geometry import Tile


class KeptOutput:
    """The output for one plane.

    Parameters
    ----------
    shape : (int, int, int)
        C, Y and X, as the network gives it.

    Attributes
    ----------
    complete : bool
        Whether a run has gone through all of the plane.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._values = np.empty(shape, np.float32)
        self.complete = False

    def put(self, tile: Tile, core: np.ndarray) -> None:
        """Keep the output (C, Y, X) for the core of a tile."""
        y0, y1, x0, x1 = tile.core
        y1, x1 = min(y1, self._values.shape[1]), min(x1, self._values.shape[2])
        self._values[:, y0:y1, x0:x1] = core[:, : y1 - y0, : x1 - x0]

    def core(self, tile: Tile) -> np.ndarray:
        """The output (C, Y, X) for the core of a tile."""
        y0, y1, x0, x1 = tile.core
        return self._values[:, y0:y1, x0:x1]

    def window(self, tile: Tile) -> np.ndarray:
        """The output (C, Y, X) for the window of a tile; 0 beyond the plane."""
        y0, y1, x0, x1 = tile.window
        made = np.zeros((len(self._values), y1 - y0, x1 - x0), np.float32)
        y, x = slice(max(y0, 0), min(y1, self._values.shape[1])), slice(max(x0, 0), min(x1, self._values.shape[2]))
        made[:, y.start - y0 : y.stop - y0, x.start - x0 : x.stop - x0] = self._values[:, y, x]
        return made

    def windows(self, tiles: Sequence[Tile]) -> Handle:
        """The same for several tiles, as an engine would hand it out."""
        return Computed(np.stack([self.window(tile) for tile in tiles]))


class KeptOutputs:
    """The outputs for the planes of one image; those of one network, the one that was run last.

    Parameters
    ----------
    room : int
        Bytes that they may take together; where they need more nothing is kept.
    """

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self._made_by: Hashable = None
        self._planes: dict[Hashable, KeptOutput] = {}

    @property
    def any(self) -> bool:
        """Whether there is a plane that a run has gone through."""
        return any(one.complete for one in self._planes.values())

    def of(self, made_by: Hashable, plane: Hashable, shape: tuple[int, int, int], planes: int) -> KeptOutput | None:
        """That of a plane, which is empty at first; None where all of the planes do not fit into the room.

        Parameters
        ----------
        made_by, plane : hashable
            All that the output depends on besides the image: what it shares with other planes, and what it does not.
        shape : (int, int, int)
            Of the output.
        planes : int
            How many there are.
        """
        if self._made_by != made_by:
            self.clear()
            self._made_by = made_by
        if plane not in self._planes:
            if 4 * planes * shape[0] * shape[1] * shape[2] > self.room:
                return None
            self._planes[plane] = KeptOutput(shape)
        return self._planes[plane]

    def clear(self) -> None:
        """Keep nothing."""
        self._planes.clear()
