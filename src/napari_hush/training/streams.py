"""Random numbers that follow from the seed, from what they are for and from a number, and from nothing else."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for; no two purposes share a stream."""

    SPLIT = 1  # which images are held out
    ORDER = 2  # in which images are visited; by epoch
    PATCH = 3  # place, turn and noise of a training patch; by patch
    VALIDATION = 4  # the fixed patches
    TEST = 5
    NOISED_RANGE = 6  # the noise from which the range of a noised image is found; by image
    DENOISER = 7  # initial weights
    OTHER_NETWORKS = 8
    STEP = 9  # what a method draws for a patch, such as hidden pixels; by patch
    DROPOUT = 10  # by step
    POOL = 11  # generated images that are shown again; by pool and step


def _sequence(seed: int, purpose: Purpose, *numbers: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), *numbers))


def stream(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """The random numbers of a purpose.

    Parameters
    ----------
    seed : int
        Of the training.
    purpose : Purpose
        What they are for.
    *numbers : int
        Which ones of the purpose, for example of which patch.
    """
    return np.random.default_rng(_sequence(seed, purpose, *numbers))


def stream_seed(seed: int, purpose: Purpose, *numbers: int) -> int:
    """A seed for random numbers that are not numpy's, see `stream`."""
    return int(_sequence(seed, purpose, *numbers).generate_state(1, np.uint64)[0])
