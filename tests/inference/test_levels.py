"""A small signal on a high pedestal is denoised as if the pedestal were not there, or refused."""

import numpy as np
import pytest
import zarr

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.levels import lowered, raised
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.uncertainty import uncertainty
from napari_hush.series.registration import register

RUN = {"engine": "torch", "device": "cpu", "precision": "float32"}
HIGH = pytest.mark.filterwarnings("ignore:the image lies around:UserWarning")


@pytest.fixture(scope="module")
def plain():
    """An image from 0 to 1, and its result."""
    noisy = hush.sample("dented-lattice").noisy[:128, :128].astype(np.float64)
    image = (noisy - noisy.min()) / np.ptp(noisy)
    return image, hush.denoise(image, "stem", **RUN)


@HIGH
@pytest.mark.parametrize(
    ("level", "amplitude", "guard"),
    [(1e7, 1.0, "auto"), (-1e7, 1.0, "strict"), (1e7, 1.0, False), (1e5, 1.0, "auto"), (1e12, 1e5, "auto")],
)
def test_a_pedestal_changes_nothing(plain, level, amplitude, guard):
    image, expected = plain
    if guard != "auto":
        expected = hush.denoise(image, "stem", guard=guard, **RUN)
    done = hush.denoise(image * amplitude + level, "stem", guard=guard, **RUN)
    assert np.abs((done - level) / amplitude - expected).max() < 1e-3


@HIGH
@pytest.mark.parametrize(("dtype", "level"), [("uint32", 4 * 10**9), ("int64", 10**12), ("float32", 2**20)])
def test_a_pedestal_of_any_type_changes_nothing(plain, dtype, level):
    image, _ = plain
    steps = np.rint(1000 * image)  # what all these types hold
    expected = hush.denoise(steps, "stem", **RUN)
    done = hush.denoise(steps.astype(dtype) + np.array(level, dtype), "stem", **RUN)
    assert np.abs(done.astype(np.float64) - level - expected).max() < 1


def test_the_result_is_float64_where_float32_has_too_few_steps(plain):
    image, _ = plain
    with pytest.warns(UserWarning, match=r"around 1e\+07, where float32 goes in steps of 1: the result is float64"):
        assert hush.denoise(image + 1e7, "stem", **RUN).dtype == np.float64
    assert hush.denoise(image + 100, "stem", **RUN).dtype == np.float32


def test_an_array_for_the_result_that_is_too_coarse_is_told(plain):
    image, expected = plain
    with pytest.warns(UserWarning, match="give an array of float64"):
        hush.denoise(image + 1e7, "stem", out=np.empty(image.shape, np.float32), **RUN)
    out = hush.denoise(image + 1e7, "stem", out=np.empty(image.shape), **RUN)
    assert np.abs(out - 1e7 - expected).max() < 1e-3


@HIGH
def test_a_zarr_that_is_made_for_the_result_holds_it(plain, tmp_path):
    image, expected = plain
    hush.denoise(image + 1e7, "stem", out=tmp_path / "out.zarr", **RUN)
    assert np.abs(zarr.open_array(tmp_path / "out.zarr" / "0", mode="r")[:] - 1e7 - expected).max() < 1e-3


def test_what_no_float_holds_is_refused_and_integers_hold_it(plain):
    image = np.rint(1000 * plain[0]).astype(np.int64)
    with pytest.raises(InputError, match=r"subtract \d+ from the image first"):
        hush.denoise(image + 2**60, "stem", **RUN)
    out = hush.denoise(image + 2**60, "stem", out=np.empty_like(image), **RUN)
    expected = hush.denoise(image, "stem", out=np.empty_like(image), **RUN)
    assert np.abs(out - 2**60 - expected).max() <= 1
    with pytest.raises(InputError, match="subtract 11529"):
        hush.evaluate(image + 2**60, out)


@HIGH
def test_frames_on_a_pedestal_look_together_as_without():
    stack = hush.sample("stack").noisy[:3, :96, :96].astype(np.float64)
    stack /= np.ptp(stack)
    seen = []
    settings = DenoiseSettings(frames=3, **RUN)
    done = [
        run_steps(denoise_steps(image, "stem", settings), lambda event: event.preview is None or seen.append(event))
        for image in (stack, stack + 1e7)
    ]
    plain, high = done
    assert np.abs(high.image - 1e7 - plain.image).max() < 1e-3
    np.testing.assert_allclose(high.series.carried, plain.series.carried, rtol=1e-3)
    assert np.abs(seen[-1].preview - 1e7).max() < 10
    found = register(stack + 1e7)
    gains = np.array(high.series.registration.gains), np.array(high.series.registration.offsets)
    assert gains[0].shape == np.array(found.gains).shape
    np.testing.assert_allclose(gains[0] * 1e7 + gains[1], 1e7, atol=0.5)


@HIGH
def test_what_a_model_is_unsure_of_does_not_depend_on_a_pedestal(plain):
    image = plain[0][:64, :64]
    found, high = (uncertainty(one, "general", DenoiseSettings(**RUN)) for one in (image, image + 1e7))
    assert np.abs(high.mean - 1e7 - found.mean).max() < 1e-3
    np.testing.assert_allclose(high.deviation, found.deviation, atol=1e-5)


@HIGH
def test_each_plane_and_each_channel_may_have_a_pedestal_of_its_own(plain):
    image, expected = plain
    stack = np.stack([image + 1e7, image, image - 1e9])
    for options in ({"channel_axis": 0}, {"normalize": "plane"}):
        done = hush.denoise(stack, "stem", **options, **RUN)
        for one, level in zip(done, (1e7, 0, -1e9), strict=True):
            assert np.abs(one - level - expected).max() < 1e-3


@HIGH
def test_the_record_and_the_preview_are_in_the_units_of_the_image(plain):
    image, _ = plain
    high = [image + 1e7, image + 2e7]
    done = run_steps(denoise_steps(np.stack(high), "stem", DenoiseSettings(normalize="plane", frames=False, **RUN)))
    assert abs(done.provenance["normalization"][0]["offset"] - 1e7) < 1
    settings = DenoiseSettings(normalize="plane", **RUN)
    part = run_steps(denoise_steps(np.stack(high), "stem", settings, plane=(1,), region=(0, 64, 0, 64)))
    assert np.abs(part.image - done.image[1, :64, :64]).max() < 1e-3
    with pytest.raises(InputError, match="pedestal of its own"):
        hush.denoise(np.stack(high), "stem", normalize="plane", frames=2, **RUN)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float64"])
def test_taking_a_level_off_and_adding_it_again_is_exact(dtype):
    limits = np.iinfo(dtype) if dtype != "float64" else np.iinfo("int32")
    near = {limits.min, limits.max, limits.max // 2}
    for level in near:
        values = np.array([min(max(level + k, limits.min), limits.max) for k in (-3, 0, 5)], dtype)
        less = lowered(values, level)
        assert less.tolist() == [int(one) - level for one in values.tolist()]
        np.testing.assert_array_equal(raised(less, level, dtype), values)


def test_integers_that_a_level_carries_beyond_their_range_are_clipped():
    assert raised(np.array([-1e3, 1e3]), 2**64 - 10, "uint64").tolist() == [2**64 - 1010, 2**64 - 1]
    assert raised(np.array([-1e3, 1e3]), -(2**63) + 10, "int64").tolist() == [-(2**63), -(2**63) + 1010]
    far = lowered(np.array([-(2**63), 2**62], np.int64), 2**62)
    np.testing.assert_allclose(far, [-(2.0**63) - 2.0**62, 0])


def test_ordinary_images_are_read_as_they_are():
    image = np.random.default_rng(0).integers(0, 4000, (40, 30)).astype(np.uint32)
    assert Planes(image).lowered().levels == ()
