"""Simulated training data: the targets of a data set, drawn when they are first needed, with fresh noise every time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hush.datasets.settings import IN_COLOUR, settings_to_toml
from napari_hush.errors import InputError
from napari_hush.training.data import PICTURE
from napari_hush.training.patches import Patch, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.datasets.drawing import Drawer
    from napari_hush.normalize import NormalizationRule
    from napari_hush.synthesis import Noise
    from napari_hush.training.settings import TrainSettings

KEPT_BYTES = 512 << 20  # of drawn fields


class SimulatedData:
    """Patches of simulated targets; the clean field may be turned in any way, the noise comes afterwards.

    Parameters
    ----------
    drawer : Drawer
        Draws ``n`` targets for training, and as many for the test as its settings say.
    settings : TrainSettings
        Patch, augmentation, seed and number of validation images.
    rule : NormalizationRule
        Of the model; every noisy field is normalised as a whole.
    unpaired : bool
        Whether noisy and clean patches show different fields.
    """

    def __init__(
        self, drawer: Drawer, settings: TrainSettings, rule: NormalizationRule, *, unpaired: bool = False
    ) -> None:
        if min(drawer.settings.shape) < settings.patch:
            raise InputError(
                f"simulated fields of {drawer.settings.shape} px are smaller than a patch of {settings.patch} px"
            )
        self.relation = "unpaired" if unpaired else "pairs"
        self.settings, self.rule = settings, rule
        self._drawer = drawer
        self._kept: OrderedDict[int, tuple[NDArray[np.float32], Noise]] = OrderedDict()
        self._lock = threading.Lock()
        self.channels = 3 if drawer.settings.kind in IN_COLOUR else 1

    def __len__(self) -> int:
        """Number of patches that cover the training images once."""
        height, width = self._drawer.settings.shape
        each = max(1, round(height * width / self.settings.patch**2))
        return (self._drawer.settings.n - self._drawer.settings.n_test) * each

    @property
    def fingerprint(self) -> str:
        """A text that changes when the data do."""
        return f"simulated {self.relation} {settings_to_toml(self._drawer.settings)} {self._drawer.materials.sha256}"

    def draw(self, number: int) -> Patch:
        """Make one training patch, from its number and the seed alone."""
        rng = np.random.default_rng([self.settings.seed, 2, number])
        count = self._drawer.settings.n - self._drawer.settings.n_test
        noisy, clean = self._field(int(rng.integers(count)), rng)
        if self.relation == "unpaired":
            _, other = self._field(int(rng.integers(count)), rng)
            clean = other
        (y, x), (v, u) = (rng.integers(0, [n - self.settings.patch + 1 for n in noisy.shape[1:]]) for _ in range(2))
        if self.relation == "pairs":
            v, u = y, x
        side = self.settings.patch
        return Patch(
            np.ascontiguousarray(noisy[:, y : y + side, x : x + side]),
            np.ascontiguousarray(clean[:, v : v + side, u : u + side]),
        )

    def held_out(self, which: Literal["validation", "test"], side: int = PICTURE) -> list[Patch]:
        """Fixed patches of targets that are not trained on."""
        stride = min(self.settings.patch & -self.settings.patch, side)  # that of the network divides it
        patches = []
        for k in range(self.settings.validation_images):
            # Numbers of the test split; those of the validation lie far beyond any that is written to disk.
            target = self._drawer("test", k if which == "test" else 1_000_000_000 + k)
            noisy, clean = _planes(target.noisy), _planes(target.clean)
            noisy, clean = self._normalised(noisy, clean)
            height, width = (min(n, side) // stride * stride for n in noisy.shape[1:])
            patches.append(Patch(noisy[:, :height, :width].copy(), clean[:, :height, :width].copy()))
        return patches

    def _target(self, number: int) -> tuple[NDArray[np.float32], Noise]:
        """A clean field (C, Y, X) of the training and its noise, drawn or as they were kept."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        target = self._drawer("train", number)
        made = _planes(target.clean), target.noise
        with self._lock:
            self._kept[number] = made
            while len(self._kept) > max(KEPT_BYTES // made[0].nbytes, 1):
                self._kept.popitem(last=False)
        return made

    def _field(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The whole field, turned, with fresh noise, normalised: noisy and clean, (C, Y, X)."""
        clean, noise = self._target(number)
        clean = turned(Patch(clean, None), self.settings.augment, rng).noisy
        return self._normalised(np.stack([noise(plane, rng) for plane in clean]), clean)

    def _normalised(self, noisy: Any, clean: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found = self.rule.fit(lambda: [noisy])
        return found.apply(noisy), found.apply(clean)


def _planes(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return image if image.ndim == 3 else image[None]
