"""``napari-hush register``: how the frames of a series lie to the first one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - tyro reads the annotations
from typing import Annotated

import tyro

from napari_hush.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Register:
    """Find the drift, rotation and brightness of a series of frames, and where a lattice leaves them open."""

    frames: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="STACK")]
    """A stack (T, Y, X), or a folder or a pattern in quotes of single frames."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="CSV")] = None
    """The table of all frames; NAME_drift.csv beside the stack if not given."""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """Draw the drift."""
    aligned: Annotated[Path | None, tyro.conf.arg(metavar="TIF")] = None
    """Write the frames brought onto the first one, NaN where a frame shows nothing."""
    smooth: float = 1.5
    """Standard deviation of the Gaussian mean over each frame before it is compared, px."""
    overwrite: bool = False
    """Replace older files."""

    def run(self) -> int:
        """Run it; the exit code."""
        import numpy as np

        from napari_hush.files import atomic_write
        from napari_hush.io import check_writable, read_image, read_volume, write_image
        from napari_hush.io.inputs import holds_files, split_selector
        from napari_hush.io.outputs import check_outputs
        from napari_hush.names import stem
        from napari_hush.reports.panels import png_bytes
        from napari_hush.series.drawing import drift_picture
        from napari_hush.series.registration import register

        many = holds_files(self.frames)
        path = split_selector(self.frames)[0]
        if many and not path.is_dir():
            path = path.parent.resolve()  # the frames are named by what holds them
        table = self.output or path.parent / f"{stem(path)}_drift.csv"
        targets = [one for one in (table, self.plot, self.aligned) if one is not None]
        for target in targets:
            if target == self.aligned:
                check_writable(target)
                if target.suffix.lower() == ".png":
                    raise InputError(f"{target}: PNG does not hold float32: write a .tif")
            elif not target.parent.is_dir():
                raise InputError(f"{target}: the folder {target.parent} does not exist; create it")
        check_outputs(targets, [self.frames], overwrite=self.overwrite)
        image = read_volume(self.frames) if many else read_image(self.frames)
        if image.channel_axis is not None:
            raise InputError(f"{self.frames}: has colours, frames are grey: save one channel and register it")
        found = register(image.data, smooth=self.smooth, progress=True)
        found.save(table)
        print(f"{table}: {found.words}")
        if self.plot is not None:
            atomic_write(self.plot, png_bytes(drift_picture(found)))
            print(f"{self.plot}: drift")
        if self.aligned is not None:
            frames = np.stack([found.aligned(image.data[number], number) for number in range(len(found))])
            write_image(self.aligned, frames, like=image)
            print(f"{self.aligned}: frames brought onto the first")
        return 0
