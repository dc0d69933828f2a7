"""What a person hands to a training, as training data: arrays, files, folders, data sets, settings of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.records import read_settings
from napari_hush.datasets.settings import SynthesisSettings, settings_from
from napari_hush.errors import InputError
from napari_hush.io.formats.hdf5_links import find_dataset
from napari_hush.io.formats.hdf5_open import open_hdf5
from napari_hush.synthesis import Compose
from napari_hush.synthesis.noise.registry import NOISES
from napari_hush.training.data.checks import OnBad, usable
from napari_hush.training.data.exposure import exposure_between
from napari_hush.training.data.images import ImageSet
from napari_hush.training.data.pairing import paired, with_truth
from napari_hush.training.data.simulated import SimulatedData
from napari_hush.training.data.training_data import TrainingData
from napari_hush.training.methods.registry import methods_for

if TYPE_CHECKING:
    from napari_hush.normalize import NormalizationRule
    from napari_hush.synthesis import Noise
    from napari_hush.training.data.exposure import Exposure
    from napari_hush.training.data.patches import PatchSource
    from napari_hush.training.methods.registry import Needs
    from napari_hush.training.settings import TrainSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSource:
    """Data with what there is to say about them, in the place of the data of `train`.

    Parameters
    ----------
    data, channel_axis, truth, on_bad
        As of `open_data`.
    """

    data: Any
    channel_axis: int | None = None
    truth: Any = None
    on_bad: OnBad = "skip"


def open_data(
    data: Any,
    needs: Needs,
    settings: TrainSettings,
    rule: NormalizationRule,
    *,
    channel_axis: int | None = None,
    truth: Any = None,
    on_bad: OnBad = "skip",
) -> PatchSource:
    """Make training data of what a method needs.

    Parameters
    ----------
    data : TrainingData, TrainingSource, SynthesisSettings, mapping, path, array_like, or tuple of two
        - ``(noisy, clean)``: arrays (..., Y, X), image files, folders or lists of these; pairs or not, as ``needs``
          says;
        - ``(clean, noise)``: a noise of `NOISES` or a `Compose`, put onto clean images, anew each time;
        - a folder of `synthesize` (paired or unpaired), or an HDF5 with train_ns, train_gt, test_ns and test_gt;
        - `SynthesisSettings`, a mapping or a settings file (.toml) of these: simulated on the fly;
        - noisy images alone, for methods that need no more; for repeats a stack (R, Y, X) per field, or (R, Z, Y, X)
          per volume.

        For a network that takes neighbouring slices, images come as volumes (Z, Y, X); a folder of single images then
        is one volume.
    needs : {"pairs", "unpaired", "repeats", "noisy"}
        What the method trains on.
    settings : TrainSettings
        Patch, shares, augmentation and seed.
    rule : NormalizationRule
        Of the model.
    channel_axis : int, optional
        Which axis of arrays holds colours.
    truth : array_like, path, or list of these, optional
        Clean images of the noisy ones, to validate by alone.
    on_bad : {"skip", "refuse"}
        What to do with images that would harm the training.

    Raises
    ------
    InputError
        If the data are not what the method needs.
    """
    if isinstance(data, TrainingData | SimulatedData):
        return data
    if isinstance(data, TrainingSource):
        channel_axis, truth, on_bad, data = data.channel_axis, data.truth, data.on_bad, data.data
    if isinstance(data, str | Path) and Path(data).suffix.lower() == ".toml":
        drawer = Drawer(*read_settings(Path(data)))
        return _simulated(drawer, needs, settings, rule)
    if isinstance(data, Mapping):
        data = settings_from(data)
    if isinstance(data, SynthesisSettings):
        return _simulated(Drawer(data), needs, settings, rule)
    volumes = settings.slab is not None and settings.slab > 1
    found = _data_set(Path(data)) if isinstance(data, str | Path) else None
    if found:
        data, found_truth = found
        truth = truth if truth is not None else found_truth
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], (Compose, *NOISES.values())):
        if needs != "pairs":
            raise InputError(f"clean images with a noise make pairs: choose the method {methods_for('pairs')}")
        plain = ImageSet(data[0], channel_axis=channel_axis, volumes=volumes)
        good = usable([plain], on_bad=on_bad)
        return TrainingData("noise", settings, rule, clean=plain, noise=cast("Noise", data[1]), good=good)
    two = isinstance(data, tuple) and len(data) == 2
    if needs in ("pairs", "unpaired") and not two:
        raise InputError(
            f"this method needs {'pairs of noisy and clean images' if needs == 'pairs' else 'noisy and clean images'}: "
            "give both, as two folders, stacks or files, or a data set that napari-hush synthesize made"
        )

    def images_of(sources: Any) -> ImageSet:
        return ImageSet(sources, channel_axis=channel_axis, volumes=volumes and not found)

    noisy = images_of(data[0] if two else data)
    clean = images_of(data[1]) if two and needs != "noisy" else None
    if needs in ("pairs", "repeats") and clean is not None:
        noisy, clean = paired(noisy, clean, on_bad=on_bad)

    truth = data[1] if two and needs == "noisy" and truth is None else truth  # for the validation alone
    known = None if truth is None or needs == "pairs" else with_truth(noisy, images_of(truth))

    def scale(good: list[int]) -> Exposure | None:
        targets = clean if needs == "pairs" else known
        return None if targets is None or len(targets) != len(noisy) else exposure_between(noisy, targets, good)

    test = noisy.of_source(1) if found else ()  # the second one of a data set is the test's
    if needs == "noisy":
        good = usable([noisy], on_bad=on_bad)
        return TrainingData(
            "noisy", settings, rule, noisy=noisy, truth=known, good=good, test=test, exposure=scale(good)
        )
    if clean is None:
        alone = [k for k in range(len(noisy)) if len(noisy.repeats(k)) < 2]
        if alone:
            raise InputError(
                f"{noisy.name(alone[0])}: is alone, repeats need a stack (R, Y, X) of two or more images of each "
                "field, or (R, Z, Y, X) of each volume"
            )
        good = usable([noisy], on_bad=on_bad)
        return TrainingData("repeats", settings, rule, noisy=noisy, truth=known, good=good, exposure=scale(good))
    if needs == "unpaired":
        good, good_clean = usable([noisy], on_bad=on_bad), usable([clean], on_bad=on_bad)
        return TrainingData(
            "unpaired", settings, rule, noisy=noisy, clean=clean, truth=known, good=good, good_clean=good_clean,
            test=test, exposure=scale(good),
        )  # fmt: skip
    good = usable([noisy, clean], on_bad=on_bad)
    exposure = scale(good) if needs == "pairs" else None
    return TrainingData("pairs", settings, rule, noisy=noisy, clean=clean, good=good, test=test, exposure=exposure)


def _simulated(drawer: Drawer, needs: Needs, settings: TrainSettings, rule: NormalizationRule) -> SimulatedData:
    if needs in ("repeats", "noisy"):
        raise InputError(
            f"simulated images have clean ones: choose {methods_for('pairs', 'unpaired')}, or write a data set "
            "with napari-hush synthesize and train on its noisy images"
        )
    return SimulatedData(drawer, settings, rule, unpaired=needs == "unpaired")


def _data_set(path: Path) -> tuple[tuple[Any, Any], Any] | None:
    """Noisy and clean sources of a data set on disk, first those for training, and the truth of unpaired ones."""
    if path.is_file() and path.suffix.lower() in (".h5", ".hdf5"):
        with open_hdf5(path) as file:
            if not {"train_ns", "train_gt"} <= file.keys():
                return None
            tested = "test_ns" in list(file) and len(find_dataset(file, "test_ns", path)) > 0
        splits = ["train", "test"] if tested else ["train"]
        noisy, clean = ([f"{path}:/{split}_{what}" for split in splits] for what in ("ns", "gt"))
        return (noisy, clean), None
    if (path / "train" / "noisy").is_dir():
        sides = [_filled([path / split / what for split in ("train", "test")]) for what in ("noisy", "clean")]
        return (sides[0], sides[1]), None
    if (path / "trainA").is_dir() and (path / "trainB").is_dir():
        truths = [
            f"{file}:clean" for split in ("trainA", "testA") for file in sorted((path / "truth" / split).glob("*.npz"))
        ]
        return (_filled([path / "trainA", path / "testA"]), [path / "trainB"]), truths or None
    return None


def _filled(folders: list[Path]) -> list[Path]:
    """Leave out missing and empty folders."""
    return [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
