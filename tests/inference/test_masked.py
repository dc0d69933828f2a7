"""Masked pixels count as those that are NaN, and an array's last axis of one colour is no width."""

import dask.array
import numpy as np
import pytest
import torch

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.fidelity.glance import glance
from napari_hush.fidelity.stacks import evaluate_steps
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.uncertainty import uncertainty
from napari_hush.model import Model
from napari_hush.progress import drain

RUN = {"engine": "torch", "device": "cpu", "precision": "float32"}
IMAGE = np.random.default_rng(0).normal(1000, 200, (60, 50)).astype(np.float32)
HOLES = np.zeros(IMAGE.shape, bool)
HOLES[20:32, 10:30] = True
SAMPLE = hush.sample("dented-lattice")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model.create("cnn", {"widths": [4]})


def masked(image, junk=1e6):
    values = np.array(image)
    values[..., HOLES] = junk
    return np.ma.MaskedArray(values, np.broadcast_to(HOLES, values.shape))


def with_nan(image):
    return np.where(HOLES, np.nan, image).astype(np.result_type(image.dtype, np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "int32"])
def test_masked_pixels_have_no_influence_and_are_masked_in_the_result(model, dtype):
    image = np.rint(IMAGE).astype(dtype)
    expected = hush.denoise(with_nan(image), model, **RUN)
    for junk in (0, 60000):
        done = hush.denoise(masked(image, junk), model, **RUN)
        assert isinstance(done, np.ma.MaskedArray) and done.dtype == np.float32
        np.testing.assert_array_equal(done.mask, HOLES)
        np.testing.assert_allclose(done.data, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the image lies around:UserWarning")
def test_masked_integers_on_a_pedestal_are_exact(model):
    image = np.rint(IMAGE).astype(np.int64)
    expected = hush.denoise(with_nan(image), model, **RUN)
    done = hush.denoise(masked(image + 2**44, 7), model, **RUN)
    np.testing.assert_array_equal(done.mask, HOLES)
    assert np.abs(done.data - 2.0**44 - expected)[~HOLES].max() < 0.05


def test_other_masked_inputs_count_as_well(model):
    stack = np.stack([IMAGE, IMAGE + 5])
    expected = hush.denoise(with_nan(stack), model, **RUN)
    for image in (dask.array.from_array(masked(stack), chunks=25), [masked(IMAGE), masked(IMAGE + 5)]):
        np.testing.assert_allclose(np.ma.getdata(hush.denoise(image, model, **RUN)), expected, rtol=1e-6)


def test_a_masked_image_is_replaced_by_its_result(model):
    image = masked(IMAGE)
    expected = hush.denoise(image, model, **RUN)
    assert hush.denoise(image, model, out=image, **RUN) is image
    np.testing.assert_array_equal(image.mask, HOLES)
    np.testing.assert_array_equal(image.filled(0), expected.filled(0))


def test_the_preview_of_a_masked_stack_has_its_part_of_the_mask(model):
    stack = masked(np.stack([IMAGE, IMAGE + 5]))
    settings = DenoiseSettings(guard=False, **RUN)
    part = run_steps(denoise_steps(stack, model, settings, plane=(1,), region=(8, 40, 5, 50))).image
    np.testing.assert_array_equal(part.mask, HOLES[8:40, 5:50])


def test_masked_pixels_are_left_out_where_results_are_judged():
    noisy, clean = SAMPLE.noisy[:96, :96].astype(float), SAMPLE.clean[:96, :96].astype(float)
    holes = np.zeros(noisy.shape, bool)
    holes[30:44, 30:44] = True
    expected = hush.evaluate(np.where(holes, np.nan, noisy), clean)
    junk = np.ma.MaskedArray(np.where(holes, 1e6, noisy), holes)
    np.testing.assert_equal(hush.evaluate(junk, clean), expected)
    np.testing.assert_equal(hush.judge(junk, clean).as_dict(), expected)
    found = drain(evaluate_steps(junk, clean))
    np.testing.assert_equal(found.evidence.as_dict(), expected)


@pytest.mark.parametrize("shape", [(60, 50, 1), (1, 60, 50, 1), (2, 60, 50, 1), (1, 2, 60, 50, 1)])
def test_a_last_axis_of_one_colour_is_no_width(model, shape):
    image = np.random.default_rng(0).normal(1000, 200, shape).astype(np.float32)
    done = hush.denoise(image, model, **RUN)
    assert done.shape == shape
    np.testing.assert_array_equal(done[..., 0], hush.denoise(image[..., 0], model, **RUN))


def test_narrow_planes_are_still_planes():
    assert Planes(np.zeros((3, 40, 1))).plane_shape == (40, 1)
    assert Planes(np.zeros((40, 1))).plane_shape == (40, 1)
    assert Planes(np.zeros((40, 40, 1)), channel_axis=0).plane_shape == (40, 1)


def test_images_of_one_colour_are_judged_as_grey_ones():
    noisy, clean = SAMPLE.noisy[:96, :96], SAMPLE.clean[:96, :96]
    expected = hush.evaluate(noisy, clean)
    np.testing.assert_equal(hush.evaluate(noisy[..., None], clean[..., None]), expected)
    np.testing.assert_equal(hush.evaluate(noisy[None, ..., None], clean[None, ..., None]), expected)
    assert hush.judge(noisy[..., None], clean[..., None], truth=clean).as_dict()["mae"] == 0
    np.testing.assert_equal(drain(evaluate_steps(noisy[..., None], clean[..., None])).evidence.as_dict(), expected)
    assert glance(noisy[..., None], clean[..., None]).words == glance(noisy, clean).words


def test_the_uncertainty_of_an_image_of_one_colour(model):
    settings = DenoiseSettings(guard=False, **RUN)
    found = uncertainty(IMAGE[..., None], model, settings)
    np.testing.assert_array_equal(found.deviation[..., 0], uncertainty(IMAGE, model, settings).deviation)


@pytest.mark.parametrize("shape", [(2, 80, 70, 3), (80, 70, 2), (160, 150, 10)])
def test_colours_at_the_end_are_asked_about(model, shape):
    image = np.random.default_rng(0).normal(1000, 200, shape).astype(np.float32)
    with pytest.warns(UserWarning, match=r"if its last axis holds colours, give channel_axis=-1"):
        run_steps(denoise_steps(image, model, DenoiseSettings(guard=False, **RUN), region=(0, 8, 0, 2)))


def test_chunks_of_unknown_size_are_refused(model):
    image = dask.array.from_array(IMAGE, chunks=20)
    with pytest.raises(InputError, match="compute_chunk_sizes"):
        hush.denoise(image[image[:, 0] > 0], model)
