"""The two sides of pairs brought into one order: by the names of their files, where these say it."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_hush.errors import InputError
from napari_hush.training.data.names import match_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hush.training.data.checks import OnBad
    from napari_hush.training.data.images import ImageFile, ImageSet

NAMED = 5  # files in a message


@dataclass(frozen=True, eq=False)
class Partners:
    """The images of two sides that belong together.

    Parameters
    ----------
    noisy, clean : ImageSet
        In one order.
    alone : list of str
        Files that were left out, and why where that is not for want of a partner.
    remark : str
        What a person should know of how they were found; empty if nothing.
    """

    noisy: ImageSet
    clean: ImageSet
    alone: list[str] = field(default_factory=list)
    remark: str = ""


def partners(noisy: ImageSet, clean: ImageSet) -> Partners:
    """Find the images of both sides that belong together, by the names of their files.

    Arrays have no names, and neither have the planes of a stack: they are taken in their order.

    Parameters
    ----------
    noisy, clean : ImageSet
        The two sides.

    Raises
    ------
    InputError
        If the numbers of images differ where the names say nothing, or no file has a partner of as many images.
    """
    if not _by_name(noisy, clean):
        if len(noisy) != len(clean):
            raise InputError(
                f"pairs need as many noisy as clean images, got {len(noisy)} and {len(clean)}: check the two folders "
                "or stacks"
            )
        remarks = [_slices(*both) for both in zip(noisy.files, clean.files, strict=False)]
        return Partners(noisy, clean, remark=next(filter(None, remarks), ""))
    sides = noisy.files, clean.files
    found = match_names([file.path for file in sides[0]], [file.path for file in sides[1]])
    if not found.pairs:
        return Partners(noisy, clean, remark=_in_order(*sides, equal=len(noisy) == len(clean)))
    alone = [f"noisy {sides[0][k].name}" for k in found.alone[0]] + [
        f"clean {sides[1][k].name}" for k in found.alone[1]
    ]
    fit = []
    for a, b in found.pairs:
        counts = sides[0][a].planes, sides[1][b].planes
        if counts[0] == counts[1]:
            fit.append((a, b))
        else:
            alone.append(f"{sides[0][a].name} with {counts[0]} images beside {sides[1][b].name} with {counts[1]}")
    if not fit:
        raise InputError(f"no file has a partner of as many images: {listed(alone)}; check the two folders")
    remarks = [_slices(sides[0][a], sides[1][b]) for a, b in fit]
    return Partners(
        noisy.taking([a for a, _ in fit]), clean.taking([b for _, b in fit]), alone, next(filter(None, remarks), "")
    )


def paired(noisy: ImageSet, clean: ImageSet, *, on_bad: OnBad = "skip") -> tuple[ImageSet, ImageSet]:
    """The images of both sides that have a partner, in one order, see `partners`.

    Parameters
    ----------
    noisy, clean : ImageSet
        The two sides.
    on_bad : {"skip", "refuse"}
        Whether files without a partner are left out, with a warning that lists them, or refused.

    Raises
    ------
    InputError
        If there are none, or files without a partner that are not to be left out.

    Warns
    -----
    UserWarning
        If files are left out, or the names have nothing in common.
    """
    found = partners(noisy, clean)
    if found.alone and on_bad == "refuse":
        raise InputError(f"without a partner of the same name: {listed(found.alone)}; add it, or take them away")
    if found.alone:
        warnings.warn(f"left out, without a partner of the same name: {listed(found.alone)}", UserWarning, stacklevel=2)
    if found.remark:
        warnings.warn(found.remark, UserWarning, stacklevel=2)
    return found.noisy, found.clean


def with_truth(noisy: ImageSet, truth: ImageSet) -> ImageSet:
    """The true images in the order of the noisy ones, by the names of their files.

    Raises
    ------
    InputError
        If only some of the noisy ones have a truth.

    Warns
    -----
    UserWarning
        If the names have nothing in common.
    """
    if not _by_name(noisy, truth):
        return truth
    found = match_names([file.path for file in noisy.files], [file.path for file in truth.files])
    if not found.pairs:
        if len(noisy.files) == len(truth.files):  # else it is refused for its number
            warnings.warn(_in_order(noisy.files, truth.files, equal=True), UserWarning, stacklevel=2)
        return truth
    if found.alone[0]:
        alone = [noisy.files[k].name for k in found.alone[0]]
        raise InputError(f"noisy images without a true one of the same name: {listed(alone)}; give one of each")
    return truth.taking([b for _, b in found.pairs])


def _by_name(first: ImageSet, second: ImageSet) -> bool:
    """Whether the names of the files may say which belong together: not those of one stack, nor of single files."""
    counts = [len(images.files) for images in (first, second)]
    named = all(file.path for images in (first, second) for file in images.files)
    stacked = counts[0] != counts[1] and len(first) == len(second)
    return named and max(counts) > 1 and not stacked


def _in_order(first: Sequence[ImageFile], second: Sequence[ImageFile], *, equal: bool) -> str:
    """What there is to say of names that have nothing in common."""
    names = f"{first[0].name} and {second[0].name}"
    if not equal:
        raise InputError(
            f"the names of the two sides have nothing in common (as {names}), and their numbers differ, {len(first)} "
            f"and {len(second)}: which belong together? Name them alike, such as 1_noisy.tif and 1_clean.tif"
        )
    return f"the names of the two sides have nothing in common: taken in their order, first {names}"


def _slices(first: ImageFile, second: ImageFile) -> str:
    """What there is to say of two volumes of single images; they are refused where a slice is missing on a side."""
    if not (first.parts and second.parts):
        return ""
    found = match_names(first.parts, second.parts)
    if not found.pairs:
        return f"the slices of {first.name} and {second.name} have no names in common: taken in their order"
    if found.pairs != [(k, k) for k in range(len(first.parts))]:
        alone = [
            os.path.basename(one.parts[k])
            for one, k in [(first, k) for k in found.alone[0]] + [(second, k) for k in found.alone[1]]
        ]
        what = f"slices without a partner of the same name: {listed(alone)}" if alone else "another order of slices"
        raise InputError(f"{first.name} and {second.name}: {what}; both folders need the same slices")
    return ""


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    further = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{further}"
