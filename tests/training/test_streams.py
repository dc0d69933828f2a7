"""Random numbers: the same for the same seed, and none that two purposes share."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from napari_hush.training.methods.cyclegan import Pool
from napari_hush.training.methods.method import Batch
from napari_hush.training.streams import Purpose, stream, stream_seed


def test_no_two_purposes_share_a_stream():
    """The state of numpy's and of torch's generators, whose processor takes 32 bits of a seed."""
    keys = list(product((0, 1, 2**40), Purpose, range(30)))
    assert len({stream_seed(*key) & 0xFFFFFFFF for key in keys}) == len(keys)
    assert len({stream(*key).bit_generator.state["state"]["state"] for key in keys}) == len(keys)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_stream_follows_from_its_seed_purpose_and_numbers(seed):
    for purpose in Purpose:
        one, again, other = (stream(seed, purpose, 3, k).random(4) for k in (1, 1, 2))
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)
    assert torch.Generator().manual_seed(stream_seed(seed, Purpose.STEP, 5)).initial_seed() >= 0


def test_neighbouring_seeds_and_numbers_share_nothing():
    """Seed 0 at step 1000003 was once seed 1 at step 0."""
    assert stream_seed(0, Purpose.DROPOUT, 1_000_003) != stream_seed(1, Purpose.DROPOUT, 0)


def test_what_a_method_draws_differs_from_what_its_pools_draw():
    image = torch.zeros(1, 1, 2, 2)
    drawn = Batch(image, None, 7).generators(0)[0].initial_seed()
    asked = []

    class Watched(torch.Generator):
        def manual_seed(self, seed):
            asked.append(seed)
            return super().manual_seed(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Watched)
        for which in (0, 1):
            Pool(2, which).exchange(image, 0, 7)
    assert len({drawn, *asked}) == 3
