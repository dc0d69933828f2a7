"""A whole data set: in memory, or on disk, where a run that was stopped goes on."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from napari_hush.datasets.drawing import Drawer, Target
from napari_hush.datasets.folders import write_folders
from napari_hush.datasets.hdf5 import write_hdf5
from napari_hush.datasets.pool import in_order
from napari_hush.datasets.records import jobs_of
from napari_hush.datasets.settings import SynthesisSettings, settings_from
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from napari_hush.datasets.drawing import Split
    from napari_hush.datasets.folders import Share
    from napari_hush.datasets.materials import Materials
    from napari_hush.datasets.pool import Drawn

    Report = Callable[[Progress], object] | bool | None


@overload
def synthesize(
    settings: SynthesisSettings | Mapping[str, Any],
    out: None = None,
    *,
    materials: Materials | None = None,
    progress: Report = None,
) -> list[Target]: ...
@overload
def synthesize(
    settings: SynthesisSettings | Mapping[str, Any],
    out: str | Path,
    *,
    materials: Materials | None = None,
    progress: Report = None,
) -> Path: ...
def synthesize(
    settings: SynthesisSettings | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    materials: Materials | None = None,
    progress: Report = None,
) -> list[Target] | Path:
    """Make noisy and clean images with known truth: as arrays, or as a data set on disk.

    On disk a run that was stopped goes on where it was, when it is called again with the same settings.

    Parameters
    ----------
    settings : SynthesisSettings or mapping
        What the data set holds; a mapping has the names of `SynthesisSettings`.
    out : str or Path, optional
        A folder, which is made if it is missing, or for ``layout="hdf5"`` a file ending in .h5 or .hdf5. Left out, the
        images are returned.
    materials : Materials, optional
        Your own unit crop and dents, from `make_materials`.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.

    Returns
    -------
    list of Target, or Path
        All images, those for training first; or ``out``, with the settings in ``settings.toml`` in the folder, or
        beside the file under its name with .toml.

    Raises
    ------
    InputError
        If a setting is out of its range, or ``out`` holds something else: the message says what to do.
    OSError
        If the disk is full or the folder not writable.

    Examples
    --------
    >>> import napari_hush as hush
    >>> first, *others = hush.synthesize({"n": 3, "shape": (48, 48), "seed": 7})
    >>> first.clean.shape, first.noisy.shape, len(others)
    ((48, 48), (48, 48), 2)
    >>> folder = hush.synthesize({"n": 3, "shape": (48, 48), "seed": 7}, "lattices")
    >>> sorted(path.name for path in folder.glob("train/noisy/*"))
    ['00000.tif', '00001.tif', '00002.tif']
    """
    if not isinstance(settings, SynthesisSettings):
        settings = settings_from(settings)
    drawer = Drawer(settings, materials)
    targets: list[Target] = []
    steps = draw_steps(drawer, targets) if out is None else write_steps(drawer, Path(out))
    with closing(steps), ExitStack() as stack:
        report = stack.enter_context(_bar()) if progress is True else progress
        for event in steps:
            if callable(report):
                report(event)
    return targets if out is None else Path(out)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar; what an earlier run finished does not count as speed."""
    from tqdm.auto import tqdm

    bar: Any = None

    def report(event: Progress) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(desc="synthesising", unit="image", leave=False, initial=event.step, total=event.total)
        bar.update(event.step - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def write_steps(
    drawer: Drawer, out: Path, *, share: Share | None = None, drawn: Drawn | None = None
) -> Generator[Progress, None, None]:
    """Write a data set step by step, see `synthesize`; closing the generator leaves what is finished.

    Parameters
    ----------
    drawer : Drawer
        Draws the images.
    out : Path
        The folder or the HDF5 file.
    share : callable, optional
        Gives those of all images that this process makes, while others make the rest.
    drawn : callable, optional
        Other processes that draw, see `napari_hush.datasets.pool.in_order`.

    Yields
    ------
    Progress
        In images; the first event counts those that an earlier run finished.
    """
    write = write_hdf5 if drawer.settings.layout == "hdf5" else write_folders
    yield from write(drawer, out, share=share, drawn=drawn)


def draw_steps(drawer: Drawer, targets: list[Target]) -> Generator[Progress, None, None]:
    """Draw a data set step by step, see `synthesize`.

    Parameters
    ----------
    drawer : Drawer
        Draws the images.
    targets : list of Target
        Filled, those for training first.

    Yields
    ------
    Progress
        In images.
    """
    jobs = jobs_of(drawer.settings)
    yield Progress(0, len(jobs), "images")
    with in_order(_draw, drawer, jobs) as made:
        for _, target in made:
            targets.append(target)
            yield Progress(len(targets), len(jobs), "images")


def _draw(drawer: Drawer, job: tuple[Split, int]) -> Target:
    return drawer(*job)
