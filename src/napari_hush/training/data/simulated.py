"""Simulated training data: the targets of a data set, drawn when they are first needed, with fresh noise every time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_hush.card import Scale
from napari_hush.datasets.settings import settings_to_toml
from napari_hush.errors import InputError
from napari_hush.filters.resampling import resample
from napari_hush.inference.companions import LatticeCompanions
from napari_hush.synthesis.kinds import KINDS
from napari_hush.training.data.patches import Patch, Turn, upside_down
from napari_hush.training.data.training_data import PICTURE
from napari_hush.training.streams import Purpose, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.datasets.drawing import Drawer
    from napari_hush.normalize import NormalizationRule
    from napari_hush.synthesis import Noise
    from napari_hush.training.settings import TrainSettings

KEPT_BYTES = 512 << 20  # of drawn fields


class _Kept(NamedTuple):
    """A field of the training."""

    planes: NDArray[np.floating]
    """Clean (C, Y, X) at its own scale, of a slab all its slices; without a noise noisy and then clean ones."""
    noise: Noise | None
    factor: float
    """By how much both are rescaled."""
    beside: LatticeCompanions | None
    """What the network is to know of its lattices."""


class SimulatedData:
    """Patches of simulated targets; the clean field may be turned in any way, the noise comes afterwards.

    Fields that are rescaled get their noise before that, at their own scale, and are normalised after it. To project
    and to reconstruct takes long: noisy slices of tomography are kept with the clean ones, and turned with them. For
    a network of depth D, noisy patches are the D slices in the middle of a slab, clean ones the one in its middle.

    Parameters
    ----------
    drawer : Drawer
        Draws ``n`` targets for training, and as many for the test as its settings say.
    settings : TrainSettings
        Patch, augmentation, seed and number of validation images, and how many slices the network takes.
    rule : NormalizationRule
        Of the model; every noisy field is normalised as a whole.
    unpaired : bool
        Whether noisy and clean patches show different fields.
    """

    zoom = 1.0  # clean images are as they were drawn
    exposure = None

    def __init__(
        self, drawer: Drawer, settings: TrainSettings, rule: NormalizationRule, *, unpaired: bool = False
    ) -> None:
        if min(drawer.settings.shape) < settings.patch:
            raise InputError(
                f"simulated fields of {drawer.settings.shape} px are smaller than a patch of {settings.patch} px"
            )
        self.depth = settings.slab or 1
        made = drawer.settings
        if made.slices < self.depth:
            raise InputError(
                f"a network of depth {self.depth} learns from as many neighbouring slices: simulate slabs with "
                f"slices={self.depth} (kind tomography, foam or ellipses), got slices={made.slices}; or choose depth 1"
            )
        if made.slices > 1 and unpaired:
            raise InputError("unpaired fields are single images: simulate them with slices=1")
        self.relation = "unpaired" if unpaired else "pairs"
        self.settings, self.rule = settings, rule
        self._drawer = drawer
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._beside: dict[int, LatticeCompanions] = {}  # small, and dear to find
        self._lock = threading.Lock()
        self.channels = 3 if KINDS[drawer.settings.kind].colours else 1

    def __len__(self) -> int:
        """Number of patches that cover the training images once."""
        height, width = self._drawer.settings.shape
        each = max(1, round(height * width / self.settings.patch**2))
        return (self._drawer.settings.n - self._drawer.settings.n_test) * each

    @property
    def fingerprint(self) -> str:
        """A text that changes when the data do."""
        _, settings = settings_to_toml(self._drawer.settings).split("\n", 1)  # the first line names the version
        return f"simulated {self.relation} {settings} {self._drawer.materials.sha256}"

    @property
    def scale(self) -> Scale | None:
        """The lattice periods that a model trained on these data is for; None for data without lattices."""
        made = self._drawer.settings
        if made.kind != "lattice":
            return None
        period = None if made.rescale_to is None else float(np.sqrt(made.rescale_to[0] * made.rescale_to[1]))
        return Scale(lowest=made.period[0], highest=made.period[1], period=period)

    def draw(self, number: int) -> Patch:
        """Make one training patch, from its number and the seed alone."""
        rng = stream(self.settings.seed, Purpose.PATCH, number)
        count = self._drawer.settings.n - self._drawer.settings.n_test
        noisy, clean = self._field(int(rng.integers(count)), rng)
        if self.relation == "unpaired":
            _, other = self._field(int(rng.integers(count)), rng)
            clean = other
        if self.depth > 1:
            noisy = upside_down(noisy, self.settings.augment, rng)
        (y, x), (v, u) = (rng.integers(0, [n - self.settings.patch + 1 for n in noisy.shape[1:]]) for _ in range(2))
        if self.relation == "pairs":
            v, u = y, x
        side = self.settings.patch
        return Patch(
            np.ascontiguousarray(noisy[:, y : y + side, x : x + side]),
            np.ascontiguousarray(clean[:, v : v + side, u : u + side]),
            before=self.depth // 2,
        )

    def held_out(self, which: Literal["validation", "test"], side: int = PICTURE) -> list[Patch]:
        """Fixed patches of targets that are not trained on."""
        stride = min(self.settings.patch & -self.settings.patch, side)  # that of the network divides it
        patches = []
        for k in range(self.settings.validation_images):
            # Numbers of the test split; those of the validation lie far beyond any that is written to disk.
            target = self._drawer("test", k if which == "test" else 1_000_000_000 + k)
            noisy, clean = self._normalised(self._seen(target.noisy), self._true(target.clean))
            noisy = self._with_companions(noisy, self._companions(target.noisy))
            height, width = (min(n, side) // stride * stride for n in noisy.shape[1:])
            noisy, clean = noisy[:, :height, :width].copy(), clean[:, :height, :width].copy()
            patches.append(Patch(noisy, clean, before=self.depth // 2))
        return patches

    def _target(self, number: int) -> _Kept:
        """A field of the training."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        target = self._drawer("train", number)
        with self._lock:
            beside = self._beside.get(number)
        if beside is None:
            beside = self._companions(target.noisy)
        made = _Kept(self._seen(target.clean), target.noise, target.factor, beside)
        if target.native is not None:  # coarse ones are large
            made = made._replace(planes=target.native[None].astype(np.float16))
        elif KINDS[self._drawer.settings.kind].projected and not self._drawer.settings.noises:
            both = np.concatenate([self._seen(target.noisy), self._true(target.clean)]).astype(np.float16)
            made = _Kept(both, None, 1.0, beside)
        with self._lock:
            if beside is not None:
                self._beside[number] = beside
            self._kept_bytes += made.planes.nbytes - (self._kept[number].planes.nbytes if number in self._kept else 0)
            self._kept[number] = made
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= oldest.planes.nbytes
        return made

    def _field(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The whole field, turned, with its noise, which is fresh where it is not kept; normalised, (C, Y, X).

        Behind the channels of the noisy image come its companions.
        """
        kept, noise, factor, beside = self._target(number)
        turn = Turn.drawn(self.settings.augment, rng)
        drawn = turn(kept.astype(np.float32, copy=False))
        if noise is None:
            noisy, clean = drawn[: -self.channels], drawn[-self.channels :]
        else:
            noisy, clean = np.stack([noise(plane, rng) for plane in drawn]), drawn
            if self.depth > 1:
                clean = self._true(clean)
            if factor != 1:
                noisy, clean = resample(noisy, factor), resample(clean, factor)
        noisy, clean = self._normalised(noisy, clean)
        if beside is not None:  # a field at its own scale can be a pixel larger than what was asked for
            height, width = noisy.shape[1:][:: -1 if turn.turn else 1]
            beside = replace(beside, shape=(height, width)).turned(up=turn.up, over=turn.over, turn=turn.turn)
        return self._with_companions(noisy, beside), clean

    def _seen(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a network sees of an image: its channels (C, Y, X), or the slices in the middle of a slab."""
        return _planes(image) if self._drawer.settings.slices == 1 else _middle(image, self.depth)

    def _true(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """What it is to give of it: the same channels, or the slice in the middle."""
        return _planes(image) if self._drawer.settings.slices == 1 else _middle(image, 1)

    def _companions(self, noisy: NDArray[np.floating]) -> LatticeCompanions | None:
        """The lattices of a noisy field, where the network is to know of them: measured once, in one noise."""
        if self.settings.beside == "none":
            return None
        if noisy.ndim == 3:
            raise InputError(
                "lattice companions go with grey images, this kind has colours: choose companions='none', or another"
            )
        return LatticeCompanions.measured_on(noisy)

    def _with_companions(self, noisy: NDArray[np.float32], beside: LatticeCompanions | None) -> NDArray[np.float32]:
        return noisy if beside is None else np.concatenate([noisy, beside.of(noisy[0]).astype(np.float32)])

    def _normalised(self, noisy: Any, clean: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = self.rule.fit(lambda: [noisy])
        return found.apply(noisy), found.apply(clean)


def _middle(slab: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    first = (len(slab) - count) // 2
    return slab[first : first + count]


def _planes(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return image if image.ndim == 3 else image[None]
