"""Training data: pairs, unpaired sets, repeats, noisy images alone, clean images with a noise model."""

from __future__ import annotations

import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hush.errors import InputError
from napari_hush.training.data.beside import Beside
from napari_hush.training.data.contrast import blocks, matched, middle, scale_between, to_unit
from napari_hush.training.data.patches import Patch, finite, mirrored, read_window, scaled, shuffled, turned
from napari_hush.training.data.regions import Region, Split, split_fields, split_images
from napari_hush.training.streams import Purpose, stream, stream_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.normalize import Normalization, NormalizationRule
    from napari_hush.synthesis import Noise
    from napari_hush.training.data.exposure import Exposure
    from napari_hush.training.data.images import ImageSet
    from napari_hush.training.data.patches import Array, Window
    from napari_hush.training.settings import TrainSettings

Relation = Literal["pairs", "unpaired", "repeats", "noisy", "noise"]
PICTURE = 256  # side of a validation patch, px at most
HELD_OUT = {"validation": Purpose.VALIDATION, "test": Purpose.TEST}
ATTEMPTS = 16  # to find a patch without NaN; the last quarter of them fills it instead


class _NotFiniteError(Exception):
    """A patch has NaN or infinite values."""


class TrainingData:
    """Patches to train on, each from its number alone, and patches that are held out.

    Parameters
    ----------
    relation : str
        How the images belong together: "pairs"; "unpaired"; "repeats", noisy stacks of one field each; "noisy";
        "noise", clean images that get noise. For a network that takes neighbouring slices, all are volumes (Z, Y, X).
    settings : TrainSettings
        Patch, shares, augmentation and seed; for "unpaired" how clean images are brought near the noisy ones.
    rule : NormalizationRule
        Of the model.
    noisy, clean : ImageSet, optional
        What the relation needs.
    noise : Noise, optional
        For "noise": what is done to clean images, the values of which go from 0 to about 1.
    truth : ImageSet, optional
        The clean images of ``noisy``, to validate by where the method has no pairs; for "repeats" one of each field
        will do.
    good, good_clean : sequence of int, optional
        Numbers of the images to use, and of the clean ones of "unpaired"; all if left out.
    test : sequence of int
        Numbers of the images that are set aside for the test already.
    exposure : Exposure, optional
        How the values of clean or true images follow from those of noisy ones, where their scales differ.

    Attributes
    ----------
    zoom : float
        For "unpaired": by how much clean images are resampled.
    scale : None
        Nothing is known of the lattices that a model is for.

    Raises
    ------
    InputError
        If the images are smaller than a patch, or too few.
    """

    scale = None

    def __init__(
        self,
        relation: Relation,
        settings: TrainSettings,
        rule: NormalizationRule,
        *,
        noisy: ImageSet | None = None,
        clean: ImageSet | None = None,
        noise: Noise | None = None,
        truth: ImageSet | None = None,
        good: Sequence[int] | None = None,
        good_clean: Sequence[int] | None = None,
        test: Sequence[int] = (),
        exposure: Exposure | None = None,
    ) -> None:
        first = clean if relation == "noise" else noisy
        if first is None:
            raise InputError(f"data of the kind {relation!r} need images")
        self.relation, self.settings, self.rule = relation, settings, rule
        self._first, self._clean, self._noise, self._truth = first, clean, noise, truth
        self.channels = first.channels
        if settings.beside != "none" and settings.averages:
            raise InputError("the mean of all repeats but one has no companions: choose companions='none'")
        self._beside = None if settings.beside == "none" else Beside(first)
        self.depth = settings.slab or 1
        if clean is not None and clean.channels != first.channels:
            raise InputError(
                f"noisy images have {first.channels} channels, clean ones {clean.channels}: convert one side"
            )
        self.exposure = exposure
        self._maps: dict[tuple[str, int], Normalization] = {}
        self._bad: set[int] = set()
        self._lock = threading.Lock()
        self._good = frozenset(range(len(first)) if good is None else good)
        self._fields = _fields(first, self._good) if relation == "repeats" else []
        if self.depth > 1:
            self._check_slices()
        if truth is not None:
            self._check_truth(truth)
        self.split = self._divided(set(test))
        patches = [max(1, round(r.shape[0] * r.shape[1] / settings.patch**2)) for r in self.split.train]
        self._until = np.cumsum(patches)  # visits up to and with each region
        self._clean_regions: tuple[Region, ...] = ()
        self._contrast: Normalization | None = None
        self.zoom = 1.0
        if relation == "unpaired":
            assert clean is not None
            numbers = range(len(clean)) if good_clean is None else good_clean
            self._clean_regions = tuple(_whole(clean, number) for number in numbers)
            if settings.matching.scale:
                self.zoom = scale_between(first, self.split.train, clean, self._clean_regions)
            for region in self._clean_regions:
                self._check_size(region, clean, self.zoom)
            if settings.matching.contrast:
                of = partial(self._map, "noisy", first)
                self._contrast = matched(first, self.split.train, of, clean, self._clean_regions)

    def __len__(self) -> int:
        """Number of patches that cover the training images once."""
        return int(self._until[-1])

    @property
    def fingerprint(self) -> str:
        """A text that changes when the data do."""
        sets = (self._first, self._clean if self._clean is not self._first else None, self._truth)
        known = [self.relation, *([] if self._noise is None else [repr(self._noise)])]
        return "\n".join([*known, *(s.fingerprint for s in sets if s is not None)])

    def draw(self, number: int) -> Patch:
        """Make one training patch.

        Parameters
        ----------
        number : int
            The patch depends on this and the seed alone.

        Raises
        ------
        InputError
            If image after image cannot be used.
        """
        epoch, place = divmod(number, len(self))
        visit = shuffled(place, len(self), stream_seed(self.settings.seed, Purpose.ORDER, epoch))
        reason = ""
        for attempt in range(ATTEMPTS):
            rng = stream(self.settings.seed, Purpose.PATCH, number, attempt)
            if attempt > ATTEMPTS // 4:  # the image itself seems to be bad
                visit = int(rng.integers(len(self)))
            region = self.split.train[int(np.searchsorted(self._until, visit, side="right"))]
            try:
                patch = self._cut(region, self._window(region, rng), rng, fill=attempt >= ATTEMPTS * 3 // 4)
                return turned(patch, self.settings.augment, rng)
            except _NotFiniteError:
                reason = "NaN or infinite values everywhere"
            except InputError as error:
                reason = str(error)
                self._note(region.image, reason)
        raise InputError(f"no patch of {ATTEMPTS} can be trained on ({reason}): check the images")

    def held_out(self, which: Literal["validation", "test"], side: int = PICTURE) -> list[Patch]:
        """Make the fixed patches to validate or to test by: the middles of the held-out regions.

        Parameters
        ----------
        which : {"validation", "test"}
            Which of the held-out parts.
        side : int
            Largest side of a patch, px.
        """
        stride = self.settings.patch & -self.settings.patch  # the network's is a power of two that divides the patch
        regions: tuple[Region, ...] = getattr(self.split, which)
        if self.settings.averages and self._truth is not None:  # of each field there is one mean
            regions = tuple(region for region in regions if region.image == self._field_of(region.image)[0])
        patches = []
        for k, region in enumerate(regions[: self.settings.validation_images]):
            window = []
            for low, high in ((region.top, region.bottom), (region.left, region.right)):
                size = max(min(high - low, side) // stride * stride, min(self.settings.patch, side))
                start = low + (high - low - size) // 2
                window.append(mirrored(np.arange(start, start + size), low, high))
            rng = stream(self.settings.seed, HELD_OUT[which], k)
            try:
                patches.append(self._cut(region, (window[0], window[1]), rng, fixed=True, fill=True))
            except InputError as error:
                self._note(region.image, str(error))
        return patches

    def _divided(self, test: set[int]) -> Split:
        s, first = self.settings, self._first
        shapes = [(k, *first.shape(k)) for k in sorted(self._good - test)]
        if not shapes:
            raise InputError("there is no image to train on")
        test_share = 0.0 if test else s.test_share
        shares = {"validation": s.validation_share, "test": test_share, "least": s.patch, "seed": s.seed}
        if self.relation == "repeats" or self.depth > 1:
            groups = self._fields if self.depth == 1 else _volumes(first, self._good - test, self._fields)
            fields = [[(k, *first.shape(k)) for k in field] for field in groups]
            split = split_fields(fields, **shares)  # type: ignore[arg-type]
        else:
            split = split_images(shapes, **shares)  # type: ignore[arg-type]
        if test:
            own = tuple(_whole(first, k) for k in sorted(test & self._good))
            split = Split(split.train, split.validation, own)
        for region in split.train + split.validation + split.test:
            self._check_size(region, first)
        return split

    def _check_slices(self) -> None:
        """Refuse images without the neighbours that the network takes."""
        first = self._first
        for number in sorted(self._good):
            stacked = self.relation != "repeats" or first.repeats(number).step > 1
            if stacked and len(first.volume(number)) > self.depth // 2:
                continue
            wanted = "(R, Z, Y, X)" if self.relation == "repeats" else "(Z, Y, X)"
            raise InputError(
                f"{first.name(number)}: a network of depth {self.depth} takes neighbouring slices: give stacks "
                f"{wanted} of at least {self.depth // 2 + 1} slices, or train with depth 1"
            )

    def _check_size(self, region: Region, images: ImageSet, zoom: float = 1.0) -> None:
        if min(region.shape) + 2 * self.settings.shift < self.settings.patch / zoom:
            seen = f" at {zoom:.2g} times its size" if zoom != 1 else ""
            raise InputError(
                f"{images.name(region.image)} has {region.shape[0]} x {region.shape[1]} px to train on, less than a "
                f"patch of {self.settings.patch} px{seen}: take a smaller patch, or leave the image out"
            )

    def _check_truth(self, truth: ImageSet) -> None:
        first = self._first
        if len(truth) not in (len(first), len(self._fields)):
            raise InputError(f"there are {len(first)} noisy images but {len(truth)} true ones: give one of each")
        for number in self._good:
            found, wanted = truth.shape(self._truth_of(number)), first.shape(number)
            if found != wanted or truth.channels != first.channels:
                raise InputError(
                    f"{first.name(number)} is {wanted} px with {first.channels} channels, its truth {found} px with "
                    f"{truth.channels}: check the order of the true images"
                )

    def _truth_of(self, number: int) -> int:
        assert self._truth is not None
        if len(self._truth) == len(self._first):
            return number
        return next(k for k, field in enumerate(self._fields) if number in field)

    def _note(self, number: int, reason: str) -> None:
        """Warn of an image once."""
        with self._lock:
            known = number in self._bad
            self._bad.add(number)
        if not known:
            warnings.warn(f"left out {self._first.name(number)}: {reason}", UserWarning, stacklevel=4)

    def _window(self, region: Region, rng: np.random.Generator, zoom: float = 1.0) -> Window:
        """Rows and columns of a random patch; what lies beyond the region is mirrored."""
        found, side = [], round(self.settings.patch / zoom)
        for low, high in ((region.top, region.bottom), (region.left, region.right)):
            start = int(rng.integers(low - self.settings.shift, high + self.settings.shift - side + 1))
            found.append(mirrored(np.arange(start, start + side), low, high))
        return found[0], found[1]

    def _cut(
        self, region: Region, window: Window, rng: np.random.Generator, *, fill: bool, fixed: bool = False
    ) -> Patch:
        number, first, before = region.image, self._first, self.depth // 2
        if self.settings.averages and self.relation == "repeats":
            return self._cut_mean(number, window, fill=fill, fixed=fixed)
        values = self._slab(number, window, fill)
        if self.relation == "noise":
            unit = self._known("unit", number, partial(to_unit, first, number))
            clean = unit.apply(values)
            found = self._known("noised", number, partial(self._map_of_noised, number))
            if self._beside is None:
                noisy = self._noised(clean, rng)
            else:
                noisy = self._beside.noised(
                    number, window, lambda w: unit.apply(_take(first, number, w, fill)), lambda c: self._noised(c, rng)
                )
            return Patch(found.apply(noisy), found.apply(clean[before : before + self.channels]), before=before)
        found = self._map("noisy", first, number)
        noisy = found.apply(values)
        if self._beside is not None:
            noisy = np.concatenate([noisy, found.apply(self._beside.of(number, window))])
        if fixed and self._truth is not None:
            return Patch(
                noisy, found.apply(self._target(self._truth, self._truth_of(number), window, fill)), before=before
            )
        if self.relation == "pairs":
            assert self._clean is not None
            return Patch(noisy, found.apply(self._target(self._clean, number, window, fill)), before=before)
        if self.relation == "repeats":
            others = [k for k in self._field_of(number) if k != number]
            other = others[0] if fixed else int(rng.choice(others))
            found = self._map("noisy", first, other)
            return Patch(noisy, found.apply(_take(first, other, window, fill)), true=False, before=before)
        if self.relation == "unpaired" and not fixed:
            return Patch(noisy, self._other(rng, fill))
        return Patch(noisy, None)

    def _cut_mean(self, number: int, window: Window, *, fill: bool, fixed: bool) -> Patch:
        """The mean of all repeats but one, and that one; with a truth to validate by, the mean of all and the truth."""
        field, before = self._field_of(number), self.depth // 2
        known = fixed and self._truth is not None
        seen = [self._slab(k, window, fill) for k in field if known or k != number]
        # The map of the mean of all, which the denoiser will be used on: that of one has wider percentiles.
        found = self._known("mean", field[0], partial(self._map_of_mean, field))
        noisy = found.apply(_mean(seen))
        if known:
            assert self._truth is not None
            return Patch(
                noisy, found.apply(self._target(self._truth, self._truth_of(number), window, fill)), before=before
            )
        return Patch(noisy, found.apply(_take(self._first, number, window, fill)), true=False, before=before)

    def _target(self, images: ImageSet, number: int, window: Window, fill: bool) -> NDArray[Any]:
        """A clean or true image in the units of its noisy one."""
        values = _take(images, number, window, fill)
        return values if self.exposure is None else self.exposure.to_input(values)

    def _slab(self, number: int, window: Window, fill: bool) -> NDArray[Any]:
        """What the network sees of an image: its channels (C, Y, X), or its slice with its neighbours (D, Y, X)."""
        if self.depth == 1:
            return _take(self._first, number, window, fill)
        return np.concatenate([_take(self._first, k, window, fill) for k in self._first.neighbours(number, self.depth)])

    def _field_of(self, number: int) -> list[int]:
        """The repeats of an image, itself among them."""
        return next(field for field in self._fields if number in field)

    def _other(self, rng: np.random.Generator, fill: bool) -> Array:
        """A clean patch that has nothing to do with the noisy one."""
        assert self._clean is not None
        region = self._clean_regions[int(rng.integers(len(self._clean_regions)))]
        values = _take(self._clean, region.image, self._window(region, rng, self.zoom), fill)
        if self.zoom != 1:
            values = scaled(values, self.settings.patch)
        return (self._contrast or self._map("clean", self._clean, region.image)).apply(values)

    def _known(self, side: str, number: int, make: Callable[[], Normalization]) -> Normalization:
        """A map that is made when it is first needed."""
        with self._lock:
            known = self._maps.get((side, number))
        if known is None:
            known = make()
            with self._lock:
                self._maps[side, number] = known
        return known

    def _map(self, side: str, images: ImageSet, number: int) -> Normalization:
        """The map of one image to network units."""
        return self._known(side, number, lambda: self.rule.fit(lambda: blocks(images, number)))

    def _map_of_mean(self, field: list[int]) -> Normalization:
        """The map of the mean of repeats to network units."""
        parts = zip(*(blocks(self._first, k) for k in field), strict=True)
        means = [_mean(part) for part in parts]
        return self.rule.fit(lambda: means)

    def _noised(self, clean: Array, rng: np.random.Generator) -> Array:
        assert self._noise is not None
        return np.stack([self._noise(np.ascontiguousarray(plane), rng) for plane in clean])

    def _map_of_noised(self, number: int) -> Normalization:
        part = self._first.read(number, *(middle(0, n) for n in self._first.shape(number)))
        clean = self._known("unit", number, partial(to_unit, self._first, number)).apply(finite(part))
        noisy = self._noised(clean, stream(self.settings.seed, Purpose.NOISED_RANGE, number))
        return self.rule.fit(lambda: [noisy])


def _take(images: ImageSet, number: int, window: Window, fill: bool) -> NDArray[Any]:
    values = read_window(images, number, window)
    if fill:
        return finite(values)
    if not np.isfinite(values).all():
        raise _NotFiniteError
    return values


def _mean(images: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    return np.asarray(np.mean(np.stack(images), axis=0, dtype=np.float64))


def _whole(images: ImageSet, number: int) -> Region:
    height, width = images.shape(number)
    return Region(number, 0, height, 0, width)


def _fields(images: ImageSet, good: frozenset[int]) -> list[list[int]]:
    """The usable repeats of each field."""
    starts = sorted({images.repeats(number).start for number in good})
    fields = [[k for k in images.repeats(start) if k in good] for start in starts]
    if alone := [field[0] for field in fields if len(field) < 2]:
        raise InputError(
            f"{images.name(alone[0])}: is alone, repeats need a stack (R, Y, X) of two or more good images of each "
            "field"
        )
    return fields


def _volumes(images: ImageSet, good: frozenset[int] | set[int], fields: list[list[int]]) -> list[list[int]]:
    """The slices that show the same body: neighbours of what is held out are no news to it, so they stay together."""
    volumes: dict[int, list[int]] = {}
    same = {k: images.volume(field[0]).start for field in fields for k in field}  # all repeats of a volume
    for number in sorted(good):
        volumes.setdefault(same.get(number, images.volume(number).start), []).append(number)
    return list(volumes.values())
