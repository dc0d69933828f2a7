"""convert_dtype never wraps around."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_hush.errors import InputError
from napari_hush.io import convert_dtype

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e12, 1e12)),
    st.sampled_from(INTEGERS),
    st.sampled_from(["float64", "float32"]),
)
def test_integers_are_the_nearest_inside_the_range_and_keep_the_order(
    values: np.ndarray, target: str, source: str
) -> None:
    values = np.sort(values).astype(source)
    limits = np.iinfo(target)
    result = convert_dtype(values, target)
    assert result.dtype == target
    clipped = np.clip(values.astype(np.float64), limits.min, limits.max)
    assert (np.abs(result.astype(np.float64) - clipped) <= 0.5).all()
    assert (np.diff(result.astype(np.float64)) >= 0).all()


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(st.sampled_from([np.int64, np.uint64, np.int16, np.uint8]), 10),
    st.sampled_from([*INTEGERS, "int64", "uint64"]),
)
def test_integers_to_integers_are_clipped_exactly(values: np.ndarray, target: str) -> None:
    limits = np.iinfo(target)
    wanted = [min(max(int(value), limits.min), limits.max) for value in values]
    assert convert_dtype(values, target).tolist() == wanted


def test_halves_go_to_the_even_number() -> None:
    assert convert_dtype(np.array([0.5, 1.5, 2.5, -0.5]), "int16").tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize("target", [*INTEGERS, "int64", "uint64"])
@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
def test_the_ends_of_every_range_are_reached_and_not_passed(source: str, target: str) -> None:
    values = np.array([-np.inf, np.inf, np.finfo(source).max, np.finfo(source).min], source)
    result = convert_dtype(values, target)
    limits = np.iinfo(target)
    largest = min(int(np.finfo(source).max), limits.max)
    assert result.tolist()[:3] == [limits.min, limits.max, largest]


def test_nan_becomes_zero_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="2 NaN pixels became 0: uint8"):
        result = convert_dtype(np.array([[np.nan, 7.2], [np.nan, 9.0]], np.float32), "uint8")
    assert result.tolist() == [[0, 7], [0, 9]]


def test_floats_are_clipped_to_finite_values_and_keep_nan_and_infinity() -> None:
    result = convert_dtype(np.array([1e300, -1e300, np.nan, np.inf, 0.1]), "float32")
    assert np.isfinite(result[:2]).all()
    assert np.isnan(result[2]) and np.isinf(result[3]) and result[4] == np.float32(0.1)
    assert convert_dtype(np.array([1e6]), "float16")[0] == np.finfo("float16").max
    assert convert_dtype(np.array([70000], np.uint32), "float16")[0] == np.finfo("float16").max


def test_same_type_is_handed_through_in_native_byte_order() -> None:
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert convert_dtype(image, "uint16") is image
    swapped = convert_dtype(image.astype(">u2"), "uint16")
    assert swapped.dtype.isnative and (swapped == image).all()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(100, 90, (7, 11, 13))
    whole = convert_dtype(image, "uint8")
    monkeypatch.setattr("napari_hush.io.convert.BLOCK", 10)
    assert (convert_dtype(image, "uint8") == whole).all()
    assert (convert_dtype(np.asfortranarray(image), "uint8") == whole).all()
    assert convert_dtype(np.float64(3.7), "uint8") == 4


@pytest.mark.parametrize("target", ["complex64", "U3", "object", "bool", "no such type"])
def test_other_types_are_refused(target: str) -> None:
    with pytest.raises(InputError, match=r"number type|integer or float"):
        convert_dtype(np.zeros((2, 2)), target)


def test_complex_and_text_are_refused() -> None:
    for image in (np.zeros((2, 2), complex), np.array([["a"]])):
        with pytest.raises(InputError, match="expected integers or floats"):
            convert_dtype(image, "uint8")


def test_no_warning_on_extreme_values() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_dtype(np.array([True, False]), "float32")
        convert_dtype(np.array([np.finfo(np.float64).max, -np.inf]), "uint64")
