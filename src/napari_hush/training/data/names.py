"""Which noisy and which clean file belong together, by their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Word = int | str  # a number without its leading zeros, or letters
    Key = tuple[Word, ...]

ENDINGS = re.compile(r"(\.(ome|nii|tar))?\.[a-z][a-z0-9]{0,7}$")


@dataclass(frozen=True)
class Matched:
    """Two lists of files, as pairs.

    Parameters
    ----------
    pairs : list of (int, int)
        Places in both lists, in the order of the first one; empty where the names have nothing in common.
    alone : (list of int, list of int)
        Places in each list that have no partner.
    """

    pairs: list[tuple[int, int]]
    alone: tuple[list[int], list[int]]


def match_names(first: Sequence[str], second: Sequence[str]) -> Matched:
    """Find the partner of each file: the one whose name differs in nothing but what stands for the side.

    Numbers count without leading zeros, the case of letters and the ending of a file not at all. What stands for the
    side is a word that all files of one side have and none of the other; else all that the names of each side begin
    and end with; else everything but the numbers. The reading that finds most partners is taken, the strictest of
    these; one that takes two files of a side for the same is none.

    Parameters
    ----------
    first, second : sequence of str
        Paths, of any length.

    Examples
    --------
    >>> match_names(["a/img_1_noisy.tif", "a/img_2_noisy.tif"], ["b/img_002.png", "b/img_003.png"]).pairs
    [(1, 0)]
    """
    sides = (_words(first), _words(second))
    best: list[tuple[int, int]] = []
    for reading in (_as_it_is, _without_side_words, _without_ends, _numbers):
        keys = [reading(*sides), reading(*sides[::-1])]
        if any(len(set(side)) < len(side) or () in side for side in keys):
            continue
        places = {key: place for place, key in enumerate(keys[1])}
        found = [(place, places[key]) for place, key in enumerate(keys[0]) if key in places]
        if reading is _numbers and 2 * len(found) < min(map(len, sides)):  # a few numbers agree by chance
            continue
        if len(found) > len(best):
            best = found
    taken = [{pair[k] for pair in best} for k in (0, 1)]
    alone = tuple([k for k in range(len(side)) if k not in had] for side, had in zip(sides, taken, strict=True))
    return Matched(best, (alone[0], alone[1]))


def _words(paths: Sequence[str]) -> list[Key]:
    """The words of each path, without the folders that all of them lie in."""
    folders = [os.path.dirname(path) for path in paths]
    shared = os.path.commonpath(folders) if len({os.path.isabs(folder) for folder in folders}) == 1 else ""
    names = [os.path.relpath(path, shared) if shared else path for path in paths]
    found = []
    for name in names:
        parts = re.findall(r"(\d+)|([^\W\d_]+)", ENDINGS.sub("", name.lower()))
        found.append(tuple(int(digits[-18:]) if digits else letters for digits, letters in parts))
    return found


def _as_it_is(side: list[Key], other: list[Key]) -> list[Key]:
    return side


def _without_side_words(side: list[Key], other: list[Key]) -> list[Key]:
    shared = set.intersection(*(set(key) for key in side))
    there = {word for key in other for word in key}
    marks = {word for word in shared - there if isinstance(word, str)}
    return [tuple(word for word in key if word not in marks) for key in side]


def _without_ends(side: list[Key], other: list[Key]) -> list[Key]:
    """Without what the names of the side begin and end with: words, and letters of the word that follows."""
    keys = _without_side_words(side, other)
    if len(keys) == 1:
        return keys
    for step in (1, -1):  # from the front, and from the back
        keys = [key[::step] for key in keys]
        shared = _shared_start(keys)
        keys = [key[shared:] for key in keys]
        heads = [key[0] if key else "" for key in keys]
        if all(isinstance(head, str) for head in heads):
            letters = [str(head)[::step] for head in heads]
            begin = _shared_start(letters)
            keys = [(word[begin:][::step], *key[1:]) for word, key in zip(letters, keys, strict=True)]
        keys = [key[::step] for key in keys]
    return [tuple(word for word in key if word != "") for key in keys]


def _shared_start(items: Sequence[Sequence[Word]]) -> int:
    """How many of their first parts are the same in all."""
    length = min(map(len, items))
    return next((k for k in range(length) if len({item[k] for item in items}) > 1), length)


def _numbers(side: list[Key], other: list[Key]) -> list[Key]:
    """The numbers that are not the same in all names."""
    numbers: list[Key] = [tuple(word for word in key if isinstance(word, int)) for key in side]
    if len({len(key) for key in numbers}) > 1 or len(numbers) == 1:
        return numbers
    vary = [k for k, column in enumerate(zip(*numbers, strict=True)) if len(set(column)) > 1]
    return [tuple(key[k] for k in vary) for key in numbers]
