"""What the dock *Train* learns from: layers, files and folders; what was found in them; and copies for the process."""

from __future__ import annotations

import mmap
import shutil
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QMenu, QToolButton, QWidget

from napari_hush.errors import InputError
from napari_hush.progress import Progress
from napari_hush.training.data.images import ImageSet
from napari_hush.training.data.pairing import listed, partners
from napari_hush.training.methods.registry import METHODS, methods_for
from napari_hush.training.process.child import Stored
from napari_hush.widgets.parts.bits import small_label, when_deleted
from napari_hush.widgets.parts.channels import Channels
from napari_hush.widgets.parts.layer_list import LayerOrNone
from napari_hush.widgets.parts.layer_record import noisy_of
from napari_hush.widgets.parts.layer_source import Source
from napari_hush.widgets.parts.not_offered import why_not_offered
from napari_hush.widgets.synthesize.measurements import Measurements

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel

    from napari_hush.training.methods.registry import Needs

    ChosenImages = Source | Path

TIPS = {
    "noisy": "A layer, stack or folder of noisy images; or a data set or settings file (.toml) of Synthesise, which "
    "has noisy and clean ones",
    "clean": "Clean images: of the same fields for pairs, with names like those of the noisy ones; of any fields "
    "otherwise",
    "truth": "Clean images of the noisy ones, to watch the training by; it does not learn from them",
}
CHOSEN_PATHS = 5  # that stay in a list


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the chosen images are, in words, and their smallest side, px."""

    words: str
    side: int


class SourceCombo(LayerOrNone):
    """Image layers, and files and folders that were chosen."""

    _paths: tuple[Path, ...] = ()

    @property
    def source(self) -> Any:
        """A layer, a path or None."""
        return self.currentData()

    def add(self, path: Path) -> None:
        """List a file or folder, and choose it."""
        self._paths = (path, *(other for other in self._paths if other != path))[:CHOSEN_PATHS]
        self.refill()
        self.layer = path

    def clear(self) -> None:
        """Take all out of the list that is no path."""
        super().clear()
        for path in self._paths:
            self.addItem(path.name, path)

    def _watch(self) -> None:
        self._unwatch()
        if isinstance(self.source, Image):
            super()._watch()


class SourcePick(QWidget):
    """A list of sources, and a button that opens a dialog for files and folders.

    Attributes
    ----------
    chosen : Signal()
        Another source is chosen, or the chosen layer has other data.
    ask : callable or None
        Given "folder" or "file", gives a path or ""; None opens a dialog.
    """

    chosen = Signal()

    def __init__(self, viewer: ViewerModel, word: str, tip: str) -> None:
        super().__init__()
        self.ask: Callable[[str], str] | None = None
        self.combo = SourceCombo(viewer, word)
        self.combo.setToolTip(tip)
        button = QToolButton()
        button.setText("…")
        button.setToolTip("Choose a folder or a file")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        for kind in ("folder", "file"):
            action = menu.addAction(f"{kind.capitalize()}…")
            if action is not None:
                action.setData(kind)
        menu.triggered.connect(self._on_action)
        button.setMenu(menu)
        button.setStyleSheet("QToolButton::menu-indicator { image: none }")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(button)
        self.combo.chosen.connect(self.chosen)

    @property
    def source(self) -> Any:
        """A layer, a path or None."""
        return self.combo.source

    @source.setter
    def source(self, source: Any) -> None:
        if isinstance(source, Path):
            self.combo.add(source)
        else:
            self.combo.layer = source

    def _on_action(self, action: Any) -> None:
        if path := (self.ask or self._ask)(action.data()):
            self.combo.add(Path(path))

    def _ask(self, kind: str) -> str:
        if kind == "folder":
            return str(QFileDialog.getExistingDirectory(self, "Folder of images, or data set"))
        return str(QFileDialog.getOpenFileName(self, "Image, stack, data set or settings file")[0])


class Data(QWidget):
    """Noisy, clean and true images; they are looked at in a thread as soon as they are chosen.

    Attributes
    ----------
    changed : Signal()
        Something else is chosen, or was looked at.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, method: str) -> None:
        super().__init__()
        self._method = method
        self.noisy = SourcePick(viewer, "choose…", TIPS["noisy"])
        self.clean = SourcePick(viewer, "choose…", TIPS["clean"])
        self.truth = SourcePick(viewer, "none", TIPS["truth"])
        self.words = small_label()
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in ("noisy", "clean", "truth"):
            self._rows.addRow(name.capitalize(), getattr(self, name))
        self._channels = Channels()
        self._rows.insertRow(1, "Channels", self._channels.combo)
        self._rows.addRow(self.words)
        self._channels.combo.currentIndexChanged.connect(self._on_chosen)
        self.study = Measurements(self, self._lessons)
        self.study.changed.connect(self._refresh)
        for name in ("noisy", "clean", "truth"):
            getattr(self, name).chosen.connect(self._on_chosen)
        self._viewer = viewer
        self._offer_channels()
        self._follow()
        active, follow = viewer.layers.selection.events.active, self._follow
        active.connect(follow)
        when_deleted(self, lambda: active.disconnect(follow))
        self._refresh()

    def _follow(self, _: object = None) -> None:
        """Take the noisy layer from napari's list, as *Denoise* does; a file stays, and what is clean is not noisy."""
        meant = noisy_of(self._viewer.layers.selection.active, self._viewer.layers)
        waits = "clean" in self._names() and self.clean.source is None  # the next one is the clean one, or may be
        taken = isinstance(self.noisy.source, Path) or meant in (self.clean.source, self.truth.source)
        taken = taken or (waits and self.noisy.source is not None)
        if meant is not None and not taken:
            self.noisy.source = meant
        self._refresh()

    @property
    def method(self) -> str:
        """What it is for."""
        return self._method

    @method.setter
    def method(self, method: str) -> None:
        self._method = method
        self._on_chosen()

    @property
    def needs(self) -> Needs:
        """What the method learns from."""
        return METHODS[self._method].needs

    @property
    def found(self) -> Found | InputError | None:
        """What was found, what is wrong with it, or None as long as it is not known."""
        if missing := self._missing():
            return InputError(missing)
        return self.study.known.get("images")  # type: ignore[return-value]

    def parts(self) -> dict[str, ChosenImages]:
        """What was chosen and counts, by name, as it is now."""
        axis = self._channels.axis
        return {name: one if isinstance(one, Path) else Source.of(one, axis) for name, one in self.chosen().items()}

    @property
    def channel_axis(self) -> int | None:
        """The axis of channels of layers that are no RGB."""
        return self._channels.axis

    def chosen(self) -> dict[str, Any]:
        """The layers and paths that count, by name."""
        found = {name: getattr(self, name).source for name in self._names()}
        return {name: one for name, one in found.items() if one is not None}

    def _names(self) -> tuple[str, ...]:
        noisy = self.noisy.source
        if isinstance(noisy, Path) and is_data_set(noisy):
            return ("noisy",)
        return {"pairs": ("noisy", "clean"), "unpaired": ("noisy", "clean", "truth")}.get(
            self.needs, ("noisy", "truth")
        )

    def _missing(self) -> str:
        if self.noisy.source is None:
            return "choose noisy images: a layer, or with … a folder or a file"
        if "clean" in self._names() and self.clean.source is None:
            return f"{self._method} needs clean images, too: choose a layer, or with … a folder or a file"
        return ""

    def _lessons(self) -> Any:
        return {} if self._missing() else {"images": partial(look, self.parts(), self.needs)}

    def _on_chosen(self, _: object = None) -> None:
        self._offer_channels()
        self.study.forget("images")
        self._refresh()

    def _offer_channels(self) -> None:
        noisy = self.noisy.source
        offered = self._channels.offer(noisy if isinstance(noisy, Image) else None)
        self._rows.setRowVisible(self._channels.combo, offered)

    def _refresh(self) -> None:
        names = self._names()
        for name in ("clean", "truth"):
            self._rows.setRowVisible(getattr(self, name), name in names)
        found = self.found
        text = found.words if isinstance(found, Found) else str(found) if found is not None else "looking…"
        other = why_not_offered(self._viewer.layers.selection.active)
        self.words.setText(f"{text}. {other}" if other else text)
        self.words.setVisible(True)
        self.changed.emit()


def is_data_set(path: Path) -> bool:
    """Whether a path has noisy and clean images, or says how to simulate them."""
    if path.is_dir():
        return (path / "train" / "noisy").is_dir() or (path / "trainA").is_dir()
    return path.suffix.lower() in (".toml", ".h5", ".hdf5")


def look(parts: dict[str, ChosenImages], needs: Needs) -> Found:
    """Count and measure images; their values are checked when the training begins.

    Raises
    ------
    InputError
        If they do not fit together.
    """
    noisy = parts["noisy"]
    if isinstance(noisy, Path) and is_data_set(noisy):
        return _look_into_data_set(noisy, needs)
    if len({part.rgb for part in parts.values() if isinstance(part, Source)}) > 1:
        raise InputError("one layer has colours and another one has none: convert one of them")
    sets = {name: _images(part) for name, part in parts.items()}
    if len({images.channels for images in sets.values()}) > 1:
        counts = ", ".join(f"{name} images have {images.channels}" for name, images in sets.items())
        raise InputError(f"the numbers of channels differ: {counts}; convert one side")
    return _count(sets, needs)


def _count(sets: dict[str, ImageSet], needs: Needs) -> Found:
    noisy, clean = sets["noisy"], sets.get("clean")
    shapes = [noisy.shape(k) for k in range(len(noisy))]
    note = f", {noisy.channels} channels" if noisy.channels > 1 else ""
    if needs == "pairs" and clean is not None:
        found = partners(noisy, clean)
        noisy, clean = found.noisy, found.clean
        shapes = [noisy.shape(k) for k in range(len(noisy))]
        odd = [k for k, shape in enumerate(shapes) if clean.shape(k) != shape]
        if len(odd) == len(shapes):
            raise InputError(
                f"noisy and clean images differ in size: {_size([shapes[0]])} and {_size([clean.shape(0)])}; choose "
                "images of the same fields"
            )
        note += f"; {len(odd)} of them differ in size and are left out" if odd else ""
        note += f"; left out, without a partner of the same name: {listed(found.alone)}" if found.alone else ""
        note += f"; {found.remark}" if found.remark else ""
        return _found(_counted(len(noisy), "pair"), shapes, note)
    if needs == "repeats":
        fields = {noisy.repeats(k) for k in range(len(noisy))}
        if min(len(field) for field in fields) < 2:
            raise InputError("repeats need a stack (R, Y, X) of two or more noisy images of each field")
        counts = sorted({len(field) for field in fields})
        each = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        words = f"{_counted(len(fields), 'field')}, {each} repeats each,"
    elif needs == "unpaired" and clean is not None:
        words = f"{len(noisy)} noisy and {len(clean)} clean images"
        shapes += [clean.shape(k) for k in range(len(clean))]
    else:
        words = _counted(len(noisy), "noisy image")
    note += f"; truth of {len(sets['truth'])}" if "truth" in sets else ""
    return _found(words, shapes, note)


def _look_into_data_set(path: Path, needs: Needs) -> Found:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        from napari_hush.datasets.records import read_settings  # slow to load

        settings, _ = read_settings(path)
        if needs not in ("pairs", "unpaired"):
            raise InputError(f"simulated images have clean ones: choose {methods_for('pairs', 'unpaired')}")
        return _found(f"simulated: {settings.n} pairs ({settings.kind})", [settings.shape], "")
    if path.is_dir():
        paired = (path / "train" / "noisy").is_dir()
        if not paired and needs == "pairs":
            raise InputError(f"{path.name} is an unpaired data set: choose {methods_for('unpaired')}")
        noisy = ImageSet(path / "train" / "noisy" if paired else path / "trainA")
    else:
        noisy = ImageSet(f"{path}:/train_ns")
    shapes = [noisy.shape(k) for k in range(len(noisy))]
    return _found(f"data set: {len(noisy)} noisy images to train on", shapes, "")


def _found(words: str, shapes: list[tuple[int, int]], note: str) -> Found:
    return Found(words=f"{words} of {_size(shapes)}{note}", side=min(min(shape) for shape in shapes))


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _size(shapes: list[tuple[int, int]]) -> str:
    small, large = min(shapes), max(shapes)
    words = f"{small[1]} x {small[0]} px"  # as microscopes say it
    return words if small == large else f"{words} to {large[1]} x {large[0]} px"


def _images(part: ChosenImages) -> ImageSet:
    return ImageSet(part) if isinstance(part, Path) else ImageSet(part.data, channel_axis=part.channel_axis)


def store(part: ChosenImages, folder: Path, name: str) -> Generator[Progress, None, Stored]:
    """Put images where another process can open them: what is in a file already stays there.

    Raises
    ------
    InputError
        If the disk has no room for them.
    """
    if isinstance(part, Path):
        return Stored(path=part)
    data = part.data
    if not (part.rgb and data.shape[-1] == 4) and (stored := _in_file(data)):
        return stored
    kept = 3 if part.rgb else data.shape[-1]
    shape = (*data.shape[:-1], kept) if part.rgb else tuple(data.shape)
    needed, free = int(np.prod(shape)) * np.dtype(data.dtype).itemsize, shutil.disk_usage(folder).free
    if needed > 0.9 * free:
        raise InputError(
            f"{part.name}: {needed / 2**30:.1f} GB have to be written to {folder} for the training, where "
            f"{free / 2**30:.1f} GB are free; save the layer as a file and choose that"
        )
    path = folder / f"{name}.npy"
    copy = np.lib.format.open_memmap(path, "w+", np.dtype(data.dtype), shape)
    lead = data.shape[: -3 if part.rgb else -2]
    for number, index in enumerate(product(*(range(n) for n in lead))):
        yield Progress(0, 0, f"taking over {part.name}: plane {number + 1} of {int(np.prod(lead))}")
        copy[index] = np.asarray(data[index])[..., :kept]
    copy.flush()
    return Stored(path=path, kind="npy")


def _in_file(data: Any) -> Stored | None:
    """An array that is a whole file, or a whole array in a zarr store on the disk."""
    if isinstance(data, np.memmap):
        whole = isinstance(data.base, mmap.mmap) and data.flags.c_contiguous and data.filename is not None
        layout = (data.dtype.str, tuple(data.shape), int(data.offset))
        return Stored(path=Path(str(data.filename)), kind="raw", layout=layout) if whole else None
    if type(data).__module__.startswith("zarr"):
        from zarr.storage import LocalStore

        if isinstance(data.store, LocalStore):
            return Stored(path=Path(data.store.root), kind="zarr", inside=str(data.path))
    return None
