"""When something changed at a pixel: one moment, not all those from which groups of frames see it."""

import numpy as np
import pytest

from napari_hush.series.partings import GROUP, Moments, groups, summed

FRAMES, LIMIT = 8, 4.5


def moments(values, *, single=False, outlier=None) -> Moments:
    """Of frames with noise of 1: a row of pixels each."""
    rng = np.random.default_rng(3)
    frames = np.asarray(values, float)[:, None, None] + rng.normal(size=(len(values), 1, 400))
    return Moments(summed([np.float32(frame) for frame in frames], outlier), {}, single)


def parted(found: Moments) -> np.ndarray:
    """The share of the pixels that each moment parts."""
    steps = {place: found.strongest(place) for place in range(found.count - 1)}
    return np.array([float((one > LIMIT).mean()) for one in found.partings(steps, LIMIT).values()])


def test_groups_are_a_few_frames_and_all_of_them():
    assert groups(FRAMES, 2) == (GROUP, FRAMES)
    assert groups(3, 0) == (GROUP,)
    assert groups(FRAMES, 2, single=True) == (1, GROUP, FRAMES)


def test_a_step_parts_frames_once_where_it_is():
    shares = parted(moments([0, 0, 0, 20, 20, 20, 20, 20]))
    assert shares[2] == 1
    assert np.delete(shares, 2).max() < 0.01


def test_groups_alone_would_part_them_around_it_too():
    found = moments([0, 0, 0, 20, 20, 20, 20, 20])
    assert (found.strongest(1) > LIMIT).mean() > 0.9


def test_each_step_of_several_is_found():
    shares = parted(moments([0, 0, 15, 15, 15, 40, 40, 40]))
    assert shares[[1, 4]].min() > 0.99
    assert np.delete(shares, [1, 4]).max() < 0.01


def test_what_grows_is_parted_at_every_moment():
    assert parted(moments(np.arange(FRAMES) * 12.0)).min() > 0.95


def test_nothing_is_parted_where_nothing_changes():
    assert parted(moments(np.zeros(FRAMES))).max() < 0.01


def test_a_single_frame_is_found_where_single_ones_are_compared():
    values = [0, 0, 0, 12, 0, 0, 0, 0]
    shares = parted(moments(values, single=True))
    assert shares[[2, 3]].min() > 0.99
    assert np.delete(shares, [2, 3]).max() < 0.01


def test_an_outlier_parts_no_others():
    values = [0, 0, 0, 500, 0, 0, 0, 0]
    assert parted(moments(values, outlier=6.0)).max() < 0.2
    assert parted(moments(values)).max() > 0.9


@pytest.mark.parametrize("count", [2, 3, 20])
def test_any_number_of_frames(count):
    values = np.where(np.arange(count) < count // 2, 0, 30)
    shares = parted(moments(values, single=True))
    assert shares.argmax() == count // 2 - 1
    assert shares.max() == 1
    assert np.delete(shares, shares.argmax()).max(initial=0) < 0.02
