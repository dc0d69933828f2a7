"""What a measurement does to a clean image; each noise is one frozen dataclass and one line in `NOISES`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.noise.camera import Clipping, FixedPattern
from napari_hush.synthesis.noise.pixels import GainOffset, Gaussian, Poisson, Quantisation, Readout, SaltPepper, Speckle
from napari_hush.synthesis.noise.rows import DetectorLag, MissingLines, RowJitter, RowOffsets, Spikes
from napari_hush.synthesis.noise.streaks import SparseAngles

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NOISES",
    "Clipping",
    "Compose",
    "DetectorLag",
    "FixedPattern",
    "GainOffset",
    "Gaussian",
    "MissingLines",
    "Noise",
    "Poisson",
    "Quantisation",
    "Readout",
    "RowJitter",
    "RowOffsets",
    "SaltPepper",
    "SparseAngles",
    "Speckle",
    "Spikes",
    "noise_from_dict",
    "noise_to_dict",
]


class Noise(Protocol):
    """Anything that maps an image (Y, X) to an image of the same shape in the same intensity units."""

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Return a noisy copy."""
        ...


@dataclass(frozen=True, kw_only=True)
class Compose:
    """Several noises, one after the other.

    Parameters
    ----------
    noises : tuple of Noise
        In the order in which they act.
    """

    noises: tuple[Noise, ...] = ()

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Apply every noise to (Y, X)."""
        image = np.asarray(image, dtype=np.float32)
        for noise in self.noises:
            image = noise(image, rng)
        return image

    def slab(self, slices: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Apply every noise to neighbouring slices (D, Y, X) of one body, anew to each of them."""
        slices = np.asarray(slices, dtype=np.float32)
        for noise in self.noises:
            if isinstance(noise, SparseAngles):  # which has to know how dense all of them are
                slices = noise.slab(slices, rng)
            else:
                slices = np.stack([noise(one, rng) for one in slices])
        return slices


NOISES: dict[str, type[Noise]] = {
    "sparse-angles": SparseAngles,
    "row-jitter": RowJitter,
    "speckle": Speckle,
    "poisson": Poisson,
    "detector-lag": DetectorLag,
    "readout": Readout,
    "gaussian": Gaussian,
    "row-offsets": RowOffsets,
    "salt-pepper": SaltPepper,
    "spikes": Spikes,
    "missing-lines": MissingLines,
    "fixed-pattern": FixedPattern,
    "gain-offset": GainOffset,
    "clipping": Clipping,
    "quantisation": Quantisation,
}


def noise_to_dict(noise: Noise) -> dict[str, Any]:
    """Describe a noise with names and numbers that JSON and TOML can hold.

    Parameters
    ----------
    noise : Noise
        One of `NOISES`, or a `Compose` of them.

    Returns
    -------
    dict
        ``{"name": ..., parameters}``; a composition is ``{"noises": [...]}``, in order, of such entries.

    Raises
    ------
    InputError
        If the noise is not one of `NOISES`.

    Examples
    --------
    >>> noise_to_dict(Compose(noises=(Poisson(dose=20.0), DetectorLag(correlation=0.3))))
    {'noises': [{'name': 'poisson', 'dose': 20.0}, {'name': 'detector-lag', 'correlation': 0.3}]}
    """
    if isinstance(noise, Compose):
        return {"noises": [noise_to_dict(part) for part in noise.noises]}
    for name, kind in NOISES.items():
        if type(noise) is kind:
            values = {f.name: getattr(noise, f.name) for f in dataclasses.fields(noise)}  # type: ignore[arg-type]
            return {"name": name, **{k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}}
    raise InputError(f"{type(noise).__name__} has no name in NOISES and cannot be written: use {', '.join(NOISES)}")


def noise_from_dict(mapping: Mapping[str, Any]) -> Noise:
    """Build the noise that `noise_to_dict` described.

    Parameters
    ----------
    mapping : Mapping
        ``{"name": a key of NOISES, parameters}`` for one noise, parameters left out take their defaults;
        ``{"noises": [...]}`` for a composition.

    Returns
    -------
    Noise
        A `Compose` where ``noises`` was given.

    Raises
    ------
    InputError
        For an unknown name or parameter, a value out of range, or a mapping of another form; the message names the
        place in the list.

    Examples
    --------
    >>> noise_from_dict({"name": "poisson", "dose": 20})
    Poisson(dose=20.0)
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"a noise is a table with a name and its parameters; got {mapping!r}")
    if "noises" in mapping:
        parts = mapping["noises"]
        if len(mapping) > 1 or not isinstance(parts, list | tuple):
            raise InputError(
                f"a chain of noises is a table with one list, 'noises'; got {', '.join(map(str, mapping))}"
            )
        chain = []
        for i, part in enumerate(parts):
            try:
                chain.append(noise_from_dict(part))
            except InputError as error:
                raise InputError(f"noises[{i}]: {error}") from None
        return Compose(noises=tuple(chain))
    name = mapping.get("name")
    if not isinstance(name, str) or name not in NOISES:
        raise InputError(f"unknown noise {name!r}: the name must be one of {', '.join(NOISES)}")
    kind = NOISES[name]
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in mapping if key != "name" and key not in known]
    if unknown:
        raise InputError(f"{name} has no parameter {unknown[0]!r}: it has {', '.join(known)}")
    return kind(**{key: value for key, value in mapping.items() if key != "name"})
