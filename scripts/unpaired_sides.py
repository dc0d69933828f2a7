"""Write the two sides of an unpaired training: real noisy lattices at all magnifications, and clean simulated ones.

Skipping pixels of a scan gives a scan at a lower magnification with the noise of one, so a few real images stand for
many: each is taken at its own scale and at every second, third, ... pixel, down to 5.5 px per period, and every one of
these is resampled to three periods of the range that the clean side has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.atoms.spacing import require_spacing
from napari_hush.card import Scale
from napari_hush.datasets.drawing import Drawer
from napari_hush.filters.resampling import resample
from napari_hush.io import read_image, write_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.datasets.settings import SynthesisSettings

LOWEST = 5.5  # px per period after pixels were skipped
LEAST = 128  # px: smaller images are left out


def write_sides(folder: Path, images: Sequence[Path], data: SynthesisSettings) -> Scale:
    """Write ``folder/noisy`` and ``folder/clean`` as TIFF, unless they are there.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    images : sequence of Path
        Real noisy images of lattices, grey.
    data : SynthesisSettings
        Of the clean side, of the kind "lattice" with ``rescale_to``; its noise is not used.

    Returns
    -------
    Scale
        The periods of the noisy side before it is resampled.
    """
    assert data.rescale_to is not None
    noisy, clean = folder / "noisy", folder / "clean"
    for side in (noisy, clean):
        side.mkdir(parents=True, exist_ok=True)
    ends = np.log(data.rescale_to)
    periods = []
    for path in images:
        plane = np.asarray(read_image(path).data, np.float32)
        spacing = require_spacing(plane)
        for step in range(1, int(spacing / LOWEST) + 1):
            periods.append(spacing / step)
            for k, wanted in enumerate(np.exp(ends[0] + np.diff(ends) * (np.arange(3) + 0.5) / 3)):
                file = noisy / f"{path.stem}-{step}-{k}.tif"
                made = resample(plane[k % step :: step, k % step :: step], float(wanted) * step / spacing)
                if min(made.shape) >= LEAST and not file.exists():
                    write_image(file, made, axes="YX")
    draw = Drawer(data)
    for number in range(data.n):
        if not (file := clean / f"{number:04d}.tif").exists():
            write_image(file, draw("train", number).clean, axes="YX")
    return Scale(lowest=round(min(periods), 1), highest=round(max(periods), 1))
