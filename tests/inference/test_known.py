"""What was measured on an image once is not measured again, and says the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.known import MOST, Known
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.progress import drain


class Counted:
    """A stack that notes which parts of it are read."""

    def __init__(self, values, chunks=None):
        self.values, self.keys = values, []
        self.shape, self.dtype = values.shape, values.dtype
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, key):
        self.keys.append(key)
        return self.values[key]


@pytest.fixture
def stack():
    return np.random.default_rng(0).poisson(20, (6, 96, 96)).astype(np.float32)


def preview(image, known, model="general", plane=(3,), **settings):
    steps = denoise_steps(
        image,
        model,
        DenoiseSettings(device="cpu", frames=False, **settings),
        plane=plane,
        region=(20, 60, 30, 70),
        known=known,
    )
    return drain(steps).image


def test_second_preview_reads_its_own_plane_alone(stack):
    image, known = Counted(stack), Known()
    first = preview(image, known)
    assert {key[0] for key in image.keys} == set(range(6))
    image.keys.clear()
    second = preview(image, known)
    assert {key[0] for key in image.keys} == {3}
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second, preview(stack, None))


@pytest.mark.parametrize("other", [{"dark": True}, {"normalize": "plane"}, {"guard": True}, {"plane": (1,)}])
def test_what_depends_on_a_choice_is_measured_for_each(stack, other):
    known = Known()
    preview(stack, known)
    np.testing.assert_array_equal(preview(stack, known, **other), preview(stack, None, **other))


def test_what_was_told_is_told_again(stack):
    stack[2] *= 1000  # so that planes do not share a range
    known = Known()
    with pytest.warns(UserWarning, match="share one normalisation"):
        preview(stack, known)
    with pytest.warns(UserWarning, match="share one normalisation"):
        preview(stack, known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preview(stack, known, normalize="plane")


def test_many_measurements_drive_the_oldest_out():
    known = Known()
    for number in range(MOST + 1):
        known.get(number, lambda number=number: number)
    assert known.get(MOST, lambda: "anew") == MOST
    assert known.get(0, lambda: "anew") == "anew"


def test_a_measurement_that_is_left_is_not_known():
    known = Known()

    def measure():
        yield
        return 1

    steps = known.steps("key", measure)
    next(steps)
    steps.close()
    assert known.get("key", lambda: 2) == 2


def test_a_pedestal_is_looked_for_with_one_read_of_each_chunk(stack):
    image = Counted(stack + 1e6, chunks=(1, 48, 96))
    levels = Planes(image).lowered().levels
    assert len(image.keys) == 2 * 5
    assert levels == Planes(stack + np.float32(1e6)).lowered().levels != ()
