"""Which part of which image is for training, which is held out: split by image, never by overlapping patch."""

from __future__ import annotations

from dataclasses import dataclass

from napari_hush.errors import InputError
from napari_hush.training.streams import Purpose, stream

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Region:
    """A part of an image.

    Parameters
    ----------
    image : int
        Its number.
    top, bottom, left, right : int
        Rows top to bottom - 1 and columns left to right - 1, px.
    """

    image: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X), px."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Split:
    """Regions to train on, to watch the training by, and to measure on at its end."""

    train: tuple[Region, ...]
    validation: tuple[Region, ...]
    test: tuple[Region, ...]


def split_images(shapes: list[tuple[int, int, int]], *, validation: float, test: float, least: int, seed: int) -> Split:
    """Split images at random; a single one is cut into bands of rows with a gap between them.

    Parameters
    ----------
    shapes : list of (int, int, int)
        Number, Y and X of each image.
    validation, test : float
        Shares that are held out. At least one image each where the share is not 0 and there are enough.
    least : int
        Side of a patch, px: the least height of a band; the gap is half of it.
    seed : int
        Decides which images are held out.

    Returns
    -------
    Split
        Regions that share no pixel.

    Raises
    ------
    InputError
        If a single image is too small to be cut.
    """
    whole = [Region(number, 0, height, 0, width) for number, height, width in shapes]
    wanted = [share > 0 for share in (validation, test)]
    if len(whole) <= sum(wanted):
        bands = [_bands(region, validation, test, least) for region in whole]
        return Split(*(tuple(r for band in bands for r in band[k]) for k in range(3)))
    order = stream(seed, Purpose.SPLIT).permutation(len(whole))
    n_validation, n_test = (max(round(len(whole) * share), 1) if share else 0 for share in (validation, test))
    held = [whole[k] for k in order]
    return Split(
        train=tuple(sorted(held[n_validation + n_test :], key=lambda r: r.image)),
        validation=tuple(held[:n_validation]),
        test=tuple(held[n_validation : n_validation + n_test]),
    )


def split_fields(
    fields: list[list[tuple[int, int, int]]], *, validation: float, test: float, least: int, seed: int
) -> Split:
    """Split images in groups that show the same field: by field, or all images of the few fields into the same bands.

    Parameters
    ----------
    fields : list of list of (int, int, int)
        Number, Y and X of each image, by field.
    validation, test, least, seed
        As of `split_images`.
    """
    if len(fields) <= (validation > 0) + (test > 0):
        alike = [
            split_images([image], validation=validation, test=test, least=least, seed=seed)
            for field in fields
            for image in field
        ]
        return Split(*(tuple(r for one in alike for r in getattr(one, name)) for name in PARTS))
    numbers = [(k, *field[0][1:]) for k, field in enumerate(fields)]
    split = split_images(numbers, validation=validation, test=test, least=least, seed=seed)
    return Split(
        *(
            tuple(
                Region(number, 0, height, 0, width)
                for region in getattr(split, name)
                for number, height, width in fields[region.image]
            )
            for name in PARTS
        )
    )


def _bands(
    region: Region, validation: float, test: float, least: int
) -> tuple[list[Region], list[Region], list[Region]]:
    """Cut an image into rows to train on, to validate and to test, half of `least` apart."""
    height = region.bottom
    parts = [max(round(height * share), least) if share else 0 for share in (validation, test)]
    gap = least // 2
    start = height - sum(parts) - gap * sum(part > 0 for part in parts)
    if start < least:
        raise InputError(
            f"an image of {region.bottom} x {region.right} px is too small to hold a part of it out with patches of "
            f"{least} px: take a smaller patch, more images, or validation_share and test_share of 0"
        )
    train = [Region(region.image, 0, start, 0, region.right)]
    held: list[list[Region]] = []
    for part in parts:
        start += gap if part else 0
        held.append([Region(region.image, start, start + part, 0, region.right)] if part else [])
        start += part
    return train, held[0], held[1]
