"""All images of a folder denoised into files beside them, as ``napari-hush denoise "FOLDER/*" --resume`` does."""

from __future__ import annotations

import glob
import os
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hush.errors import InputError
from napari_hush.progress import Progress, within

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from napari_hush.batch.jobs import Job
    from napari_hush.inference.loaded import LoadedModels
    from napari_hush.inference.settings import DenoiseSettings


@dataclass(kw_only=True)
class FolderRun:
    """A folder, and how far it is; what is done stays where the run is left, and the next one leaves it out.

    Parameters
    ----------
    folder : Path
        Whose images are denoised; not those of folders in it.
    model : str
        A bundled one, or a file.
    settings : DenoiseSettings
        How they are run.
    dtype : str
        Numbers in the results, "auto" or "input".
    done, older : list of Path
        Results that were made, and that were there already.
    failed : list of str
        Files that could not be denoised, each with the reason.
    total : int
        Files that are to be denoised.
    """

    folder: Path
    model: str
    settings: DenoiseSettings
    dtype: str = "auto"
    done: list[Path] = field(default_factory=list)
    older: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    total: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def summary(self) -> str:
        """How it went, in words."""
        words = f"{len(self.done)} of {self.total} files denoised in {time.monotonic() - self._began:.1f} s"
        if self.older:
            words += f"; {len(self.older)} were done already"
        return f"{words}; not denoised: {'; '.join(self.failed)}" if self.failed else words

    def steps(self) -> Generator[Progress, None, FolderRun]:
        """Denoise one after the other; a file that cannot be does not stop the others.

        Raises
        ------
        InputError
            If there is no image, or a result would take the place of another file.
        """
        yield Progress(0, 0, "looking for images…")
        from napari_hush.batch.jobs import Replacing, plan_jobs, requests, without_results
        from napari_hush.inference.ledger import tidy
        from napari_hush.inference.loaded import LoadedModels
        from napari_hush.inference.repeat import USUAL
        from napari_hush.io import expand_inputs, is_image

        found = expand_inputs([Path(glob.escape(str(self.folder))) / "*"]) if any(self.folder.glob("*")) else []
        images = [path for path in found if is_image(path)]
        if not images:
            raise InputError(f"{self.folder}: holds no image of a format that is read here; choose another folder")
        sources = without_results(images, [])[0]
        yield Progress(0, 0, "looking for results…")
        asked = requests(sources, self.model, self.settings, **USUAL | {"dtype": self.dtype})
        needed = [self.model] if Path(self.model).is_file() else []
        jobs, older = plan_jobs(sources, asked, None, None, Replacing(resume=True), several=True, needed=needed)
        for job in older:
            tidy(job.target)
        self.total, self.older = len(jobs), [job.target for job in older]
        with LoadedModels(self.settings, many=True, kept=True) as loaded:
            for number, job in enumerate(jobs, start=1):
                before = f"file {number} of {len(jobs)}, {job.label}"
                yield Progress(0, 0, f"{before}: reading…")
                try:
                    yield from within(self._file_steps(job, loaded), partial(_placed, before))
                    self.done.append(job.target)
                except (InputError, OSError, MemoryError) as error:
                    said = " ".join(str(error).split()).removeprefix(f"{job.source}: ")
                    self.failed.append(f"{job.label}: {said or type(error).__name__}")
        return self

    def _file_steps(self, job: Job, loaded: LoadedModels) -> Generator[Progress, None, Any]:
        from napari_hush.batch.one_file import Asked, begin, file_steps, warn_of_labels
        from napari_hush.inference.denoise import denoise_steps
        from napari_hush.io import read_image
        from napari_hush.io.fingerprint import Watched

        place, watched, image = begin(job), Watched.of(job.source), read_image(job.source)
        if self.settings.frames is not False:
            image = image.time_first()
        warn_of_labels(job, image)
        denoise = partial(denoise_steps, model=self.model, settings=self.settings, loaded=loaded)
        asked = Asked(model=self.model, dtype=self.dtype, dark=self.settings.dark, resume=True)
        return (yield from file_steps(job, image, watched, place, denoise, asked))


def _placed(before: str, event: Progress) -> Progress:
    return Progress(event.step, event.total, f"{before}: {event.message}")


def is_folder_of_images(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that is no image itself, as a zarr is."""
    from napari_hush.io.sniff import is_zarr

    return os.path.isdir(path) and not is_zarr(Path(path))
