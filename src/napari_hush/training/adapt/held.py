"""Whether adapted weights are better than the model's own, by a loss without bias on the part that is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hush.training.streams import Purpose, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from napari_hush.training.adapt.fields import Lessons

    Array = NDArray[np.float32]

DRAWS = 4  # noisy versions of each held-out part
WIDEST = 512  # px: the middle of wider ones is looked at
MOST = 4  # fields
CLEAR = 2.0  # standard errors
BLOCK = 16  # px: the loss of neighbouring pixels goes together, as their noise and the image do


@dataclass(frozen=True)
class Gain:
    """By how much a loss is lower than that of the model as it was.

    Parameters
    ----------
    way : str
        How the noise of its images was found.
    loss, before : float
        Mean squared difference of output and target, squared network units; most of it is the target's own noise.
    gain, error : float
        ``before - loss`` and its standard error.
    """

    way: str
    loss: float
    before: float
    gain: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the gain is larger than twice its standard error."""
        return self.gain > CLEAR * self.error


@dataclass(frozen=True)
class Gains:
    """The gains by images whose noise was found in several ways.

    Parameters
    ----------
    each : tuple of Gain
        In the order of the ways; the first is that of the training.
    """

    each: tuple[Gain, ...]

    @property
    def least(self) -> Gain:
        """The one that is least certain."""
        return min(self.each, key=lambda one: one.gain / one.error if one.error > 0 else 0.0)

    @property
    def clear(self) -> bool:
        """Whether all are."""
        return all(one.clear for one in self.each)


@dataclass(frozen=True, eq=False)
class _Part:
    way: str
    noisy: torch.Tensor  # (K, 1, Y, X) with the rows above, at which the network looks
    target: Array  # (K, Y, X) of the held-out rows alone


class HeldOut:
    """Fixed noisy versions of the held-out parts.

    Parameters
    ----------
    lessons : Lessons
        Where they are.
    stride, halo : int
        Of the network, px.
    network : nn.Module
        The one to compare with, in eval mode.
    """

    def __init__(self, lessons: Lessons, stride: int, halo: int, network: nn.Module) -> None:
        self._parts = [
            self._part(lessons, number, way, stride, halo)
            for number, field in enumerate(lessons.fields[:MOST])
            for way in field.ways
        ]
        self._before = self._losses(network)

    def compare(self, network: nn.Module) -> Gains:
        """Compare other weights, pixel by pixel: the noise of the targets then drops out of the difference."""
        losses = self._losses(network)
        gains = []
        for way in dict.fromkeys(part.way for part in self._parts):
            chosen = [number for number, part in enumerate(self._parts) if part.way == way]
            before, after = ([maps[number] for number in chosen] for maps in (self._before, losses))
            blocks = np.concatenate([_blocks(old - new) for old, new in zip(before, after, strict=True)])
            error = float(blocks.std() / max(len(blocks) - 1, 1) ** 0.5) if len(blocks) > 1 else np.inf
            loss, was = (float(np.mean(np.concatenate([one.ravel() for one in maps]))) for maps in (after, before))
            gains.append(Gain(way, loss, was, float(blocks.mean()), error))
        return Gains(tuple(gains))

    def _part(self, lessons: Lessons, number: int, way: str, stride: int, halo: int) -> _Part:
        field = lessons.fields[number].ways[way]
        top, _, left, right = field.region
        first, bottom = lessons.held_rows(number)
        rows = min(-(-(bottom - first + halo) // stride), (bottom - top) // stride) * stride
        columns = min(right - left, WIDEST) // stride * stride
        y = slice(bottom - rows, bottom)
        x = slice(left + (right - left - columns) // 2, left + (right - left - columns) // 2 + columns)
        rng = stream(lessons.settings.seed, Purpose.VALIDATION, number)
        drawn = [field.pair(rng, y, x) for _ in range(DRAWS)]
        noisy = torch.from_numpy(np.stack([one for one, _ in drawn]))
        return _Part(way, noisy, np.stack([target[0, first - bottom :] for _, target in drawn]))

    @torch.no_grad()
    def _losses(self, network: nn.Module) -> list[Array]:
        """The mean loss at each held-out pixel, (Y, X) of each part."""
        device = next(network.parameters()).device
        maps = []
        for part in self._parts:
            total = np.zeros(part.target.shape[1:], np.float64)
            for noisy, target in zip(part.noisy, part.target, strict=True):
                output = network(noisy[None].to(device)).float().cpu().numpy()[0, 0]
                total += (output[-len(target) :] - target) ** 2
            maps.append((total / len(part.target)).astype(np.float32))
        return maps


def _blocks(image: Array) -> NDArray[np.float64]:
    """Means over blocks, flat; the last rows and columns that fill none are left out unless there are no others."""
    side = min(BLOCK, *image.shape)
    height, width = (size // side for size in image.shape)
    part = image[: height * side, : width * side].astype(np.float64)
    return np.asarray(part.reshape(height, side, width, side).mean(axis=(1, 3)).ravel())
