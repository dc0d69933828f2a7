"""Weights that are stored in parts: spectral and weight normalisation, put together as torch does in evaluation.

Both ways of PyTorch are known, the hooks of before 2.0 (``weight_orig``, ``weight_u``, ``weight_v``; ``weight_g``,
``weight_v``) and the parametrizations of today (``parametrizations.weight.original`` and what follows it).

References
----------
Spectral normalisation: Miyato et al. 2018, arXiv:1802.05957. Weight normalisation: Salimans and Kingma 2016,
arXiv:1602.07868.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import show

if TYPE_CHECKING:
    from collections.abc import Mapping

PART = re.compile(r"(?:(?P<hooked>.*weight)_(?P<hook>orig|bar|u|v|g)|(?P<base>.*?)parametrizations\.(?P<rest>.+))")
# the parts under which each normalisation is stored, in the order (weights, u, v) and (g, direction)
SPECTRAL = (("orig", "u", "v"), ("orig", "u"), ("bar", "u", "v"), ("original", "0._u", "0._v"))
WEIGHT = (("g", "v"), ("original0", "original1"))


@dataclass(frozen=True)
class Fold:
    """A weight in parts.

    Parameters
    ----------
    spectral : bool
        Whether its normalisation is the spectral one.
    parts : tuple of str
        The file's names of the weights, u and v of a spectral normalisation, or of g and direction.
    """

    spectral: bool
    parts: tuple[str, ...]

    @property
    def main(self) -> str:
        """The file's name of the part that has the weight's shape."""
        return self.parts[0 if self.spectral else 1]


def fold_names(names: Mapping[str, str]) -> dict[str, str | Fold]:
    """The names of a network's weights, to the file's names or to parts.

    Parameters
    ----------
    names : mapping
        Names as the network gives them, to the file's.

    Raises
    ------
    ModelFileError
        If weights are stored in parts that are not known.
    """
    whole: dict[str, str | Fold] = {}
    parts: dict[str, dict[str, str]] = {}
    for name, original in names.items():
        match = PART.fullmatch(name)
        if match is None:
            whole[name] = original
        elif match["hooked"]:
            parts.setdefault(match["hooked"], {})[match["hook"]] = original
        else:
            weight, _, role = match["rest"].partition(".")
            parts.setdefault(match["base"] + weight, {})[role] = original
    for name, roles in parts.items():
        kept = name in whole and "orig" in roles  # PyTorch up to 1.0 kept the result beside the parts
        if not kept:
            whole[name] = _make_fold(name, roles)
    return whole


def shape_of(source: str | Fold, tensors: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """The shape of a weight."""
    return tuple(tensors[source.main if isinstance(source, Fold) else source].shape)


def put_together(name: str, fold: Fold, tensors: Mapping[str, torch.Tensor], *, transposed: bool) -> torch.Tensor:
    """The weight that the network computes with in evaluation.

    Parameters
    ----------
    name : str
        The weight's, for messages.
    fold : Fold
        Its parts.
    tensors : mapping
        The parts by the file's names, float32.
    transposed : bool
        Whether it is that of a transposed convolution, (in, out, Y, X).

    Raises
    ------
    ModelFileError
        If the parts do not fit each other.
    """
    if fold.spectral:
        weight, *vectors = (tensors[part] for part in fold.parts)
        matrix = weight.transpose(0, 1).flatten(1) if transposed else weight.flatten(1)
        if [vector.shape for vector in vectors] != [(side,) for side in matrix.shape][: len(vectors)]:
            raise ModelFileError(
                f"the spectral normalisation of {show(name)!r} has vectors of {[tuple(v.shape) for v in vectors]}, "
                f"expected {[(side,) for side in matrix.shape]}; save the weights again"
            )
        u = vectors[0]
        v = vectors[1] if len(vectors) > 1 else torch.nn.functional.normalize(matrix.T @ u, dim=0)
        sigma = torch.dot(u, matrix @ v)
        if not bool(sigma.abs() > 0):
            raise ModelFileError(
                f"the spectral normalisation of {show(name)!r} divides by {float(sigma):g}, expected anything else; "
                "did the training diverge?"
            )
        return weight / sigma
    size, direction = (tensors[part] for part in fold.parts)
    sides = [*size.shape, *[1] * direction.ndim][: direction.ndim]
    if size.ndim > direction.ndim or any(side not in (1, n) for side, n in zip(sides, direction.shape, strict=True)):
        raise ModelFileError(
            f"the weight normalisation of {show(name)!r} has sizes of the shape {tuple(size.shape)} for weights of "
            f"{tuple(direction.shape)}; save the weights again"
        )
    axes = [axis for axis, side in enumerate(sides) if side == 1]
    whole: torch.Tensor = direction * (
        size.reshape(sides) / torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    )
    return whole


def _make_fold(name: str, roles: dict[str, str]) -> Fold:
    for kinds, spectral in ((SPECTRAL, True), (WEIGHT, False)):
        for kind in kinds:
            if roles.keys() == set(kind):
                return Fold(spectral, tuple(roles[role] for role in kind))
    found = ", ".join(show(role, 30) for role in list(roles)[:5])
    raise ModelFileError(
        f"the weights of {show(name, 60)!r} are stored in parts ({found}), expected those of a spectral or a weight "
        "normalisation; take them off before saving (torch.nn.utils.parametrize.remove_parametrizations)"
    )
