"""Normalisation: exact percentiles of any image, one invertible map, and warnings where a range does not suit."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter

from napari_hush.errors import InputError
from napari_hush.normalize import Normalization, NormalizationRule, order_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DTYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64, np.bool_, np.float16, np.float32, np.float64]
PERCENTILES = (0.0, 0.1, 1.0, 37.5, 50.0, 99.0, 99.9, 100.0)
finite = st.floats(-(2.0**100), 2.0**100, width=32)


def blocks_of(*blocks: np.ndarray) -> Callable[[], Iterable[np.ndarray]]:
    return lambda: iter(blocks)


def exact(image: np.ndarray, percentiles: Iterable[float]) -> list[float]:
    with np.errstate(over="ignore"):
        values = image.astype(np.float32).astype(np.float64)
    values = np.sort(values[np.isfinite(values)])
    return [float(np.percentile(values, p, method="lower")) for p in percentiles]


@given(
    image=st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=2, max_side=40))),
    cut=st.integers(0, 40),
)
@settings(deadline=None, max_examples=60)
def test_percentiles_are_exact_for_any_type_and_blocks(image: np.ndarray, cut: int) -> None:
    with np.errstate(over="ignore"):
        n_finite = np.isfinite(image.astype(np.float32)).sum()
    if n_finite == 0:
        with pytest.raises(InputError, match="no finite value"):
            order_statistics(blocks_of(image), PERCENTILES)
        return
    found = order_statistics(blocks_of(image[:cut], image[cut:]), PERCENTILES)
    assert found == exact(image, PERCENTILES)


def test_percentiles_are_exact_beside_an_outlier() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 1e-2, (100, 100)).astype(np.float32)
    image[3, 4], image[5, 6], image[7, 8] = 1e38, -np.inf, np.nan
    assert order_statistics(blocks_of(*np.array_split(image, 7)), PERCENTILES) == exact(image, PERCENTILES)


def test_percentiles_come_in_the_order_asked_for() -> None:
    image = np.arange(101, dtype=np.uint8)
    assert order_statistics(blocks_of(image), (75, 0, 100, 75)) == [75, 0, 100, 75]


@given(image=hnp.arrays(np.float32, (5, 7), elements=finite), offset=finite, scale=st.floats(2.0**-20, 1e20))
@settings(deadline=None)
def test_invert_of_apply_is_the_image(image: np.ndarray, offset: float, scale: float) -> None:
    rule = Normalization(offset, scale)
    magnitude = np.abs(image.astype(np.float64)) + abs(offset)
    assume(magnitude.max() / scale < 1e30)  # beyond it, `apply` clips
    error = np.abs(rule.invert(rule.apply(image)).astype(np.float64) - image)
    assert (error <= 2.0**-22 * (magnitude + 1e-30 * scale)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_fitted_map_reaches_the_target_and_back(dtype: Any) -> None:
    image = np.arange(1, 2001).reshape(40, 50) % 2 if dtype is np.bool_ else np.arange(2000).reshape(40, 50) % 101
    image = image.astype(dtype)
    rule = NormalizationRule(low=1, high=99, target=(-1.0, 1.0))
    normalization = rule.fit(blocks_of(image))
    low, high = order_statistics(blocks_of(normalization.apply(image)), (1, 99))
    assert (low, high) == pytest.approx((-1, 1))
    assert normalization.apply(image).dtype == np.float32
    np.testing.assert_allclose(normalization.invert(normalization.apply(image)), image.astype(np.float32), atol=1e-4)


def test_small_signal_on_a_high_pedestal_keeps_its_digits() -> None:
    rng = np.random.default_rng(0)
    image = (rng.random((64, 64)) * 10).astype(np.uint32) + 2**23
    normalization = NormalizationRule().fit(blocks_of(image))
    assert len(np.unique(normalization.apply(image))) == 10
    assert (normalization.invert(normalization.apply(image)) == image).all()


def test_sparse_image_uses_its_extremes() -> None:
    image = np.zeros((100, 100), np.uint8)
    image[0, 0] = 8
    assert NormalizationRule().fit(blocks_of(image)) == Normalization(0.0, 8.0, 0.0)


@pytest.mark.parametrize("value", [0.0, -3.0, 60000.0])
def test_constant_image_is_refused_but_one_pixel_is_not(value: float) -> None:
    rule = NormalizationRule()
    with pytest.raises(InputError, match=f"constant .every finite pixel is {value:g}"):
        rule.fit(blocks_of(np.full((4, 4), value), np.full((1, 4), value)))
    normalization = rule.fit(blocks_of(np.full((1, 1), value)))
    assert normalization.invert(normalization.apply(np.full((1, 1), value))) == value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_without_a_finite_value_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="no finite value"):
        NormalizationRule().fit(blocks_of(np.full((4, 4), value)))


def test_median_fills_what_is_not_finite() -> None:
    image = np.array([[1.0, 2.0, np.nan], [3.0, np.inf, 9.0]])
    assert NormalizationRule().fit(blocks_of(image)).fill == 2.0


def image_of(lowest: float, highest: float) -> np.ndarray:
    return np.linspace(lowest, highest, 1001).reshape(7, 143)


@pytest.mark.parametrize("ends", [(0, 255), (-5, 260), (100, 130), (3.0, 200.5)])
@pytest.mark.parametrize("method", ["match", "identity"])
def test_image_in_the_model_s_range_is_handed_on_silently(ends: tuple[float, float], method: Any) -> None:
    rule = NormalizationRule(method=method, target=(0.0, 255.0))
    normalization = rule.fit(blocks_of(image_of(*ends)))
    assert (normalization.offset, normalization.scale) == (0.0, 1.0)


@pytest.mark.parametrize("ends", [(0, 1), (0, 65535), (-20, 100), (100, 110)])
def test_match_maps_any_other_image_and_warns(ends: tuple[float, float]) -> None:
    rule = NormalizationRule(method="match", low=0.1, high=99.9, target=(0.0, 255.0))
    image = image_of(*ends)
    with pytest.warns(UserWarning, match="trained on values from 0 to 255.*are mapped to that range"):
        normalization = rule.fit(blocks_of(image))
    assert normalization.apply(image).min() == pytest.approx(0, abs=1)
    assert normalization.apply(image).max() == pytest.approx(255, abs=1)


def test_identity_hands_any_other_image_on_and_warns() -> None:
    rule = NormalizationRule(method="identity", target=(0.0, 255.0))
    with pytest.warns(UserWarning, match="expect a wrong result"):
        normalization = rule.fit(blocks_of(image_of(0, 1)))
    assert (normalization.offset, normalization.scale) == (0.0, 1.0)


def test_percentile_rule_never_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NormalizationRule(target=(0.0, 255.0)).fit(blocks_of(image_of(0, 1e6)))


def test_range_maps_its_source_whatever_the_image_holds() -> None:
    rule = NormalizationRule(method="range", source=(0.0, 255.0), target=(-1.0, 1.0))
    for ends in [(0, 255), (100, 130), (3.0, 200.5)]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            normalization = rule.fit(blocks_of(image_of(*ends)))
        np.testing.assert_allclose(normalization.apply(np.array([0.0, 127.5, 255.0])), [-1, 0, 1], atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rule.fit(blocks_of(np.full((1, 1), 255.0))).apply(np.full(1, 255.0)) == 1


@pytest.mark.parametrize("ends", [(0, 1), (0, 65535), (-20, 100), (100, 110)])
def test_range_warns_of_an_image_with_other_values(ends: tuple[float, float]) -> None:
    rule = NormalizationRule(method="range", source=(0.0, 255.0), target=(-1.0, 1.0))
    with pytest.warns(UserWarning, match="takes images with values from 0 to 255, but.*another value_range"):
        normalization = rule.fit(blocks_of(image_of(*ends)))
    assert (normalization.offset, normalization.scale) == (127.5, 127.5)


@pytest.mark.parametrize(
    "rule",
    [
        NormalizationRule(target=(-1.0, 1.0), clip=True),
        NormalizationRule(method="range", source=(0.0, 100.0), target=(-1.0, 1.0), clip=True),
    ],
)
def test_clip_keeps_a_hot_pixel_out_of_the_network(rule: NormalizationRule) -> None:
    image = image_of(0, 100).copy()
    image[2, 3] = 1e9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normalization = rule.fit(blocks_of(image))
    values = normalization.apply(image)
    assert (values.min(), values.max(), values[2, 3]) == (-1, 1, 1)
    found = normalization.invert(np.array([-3.0, 3.0]))  # a network's result is never clipped
    np.testing.assert_allclose(found, [-100, 200], atol=6)


def test_without_clip_a_hot_pixel_stays_one() -> None:
    image = image_of(0, 100).copy()
    image[2, 3] = 1e9
    assert NormalizationRule().fit(blocks_of(image)).apply(image).max() > 1e6


@pytest.mark.parametrize(
    "rule",
    [
        NormalizationRule(),
        NormalizationRule(low=0.1, high=99.9, target=(-1.0, 1.0), clip=True),
        NormalizationRule(method="range", source=(0.0, 255.0), target=(-1.0, 1.0), clip=True),
    ],
)
def test_rule_comes_back_from_json(rule: NormalizationRule) -> None:
    adapter = TypeAdapter(NormalizationRule)
    stored = json.loads(json.dumps(asdict(rule)))
    assert adapter.validate_python(stored) == rule
    old = {name: value for name, value in stored.items() if name not in ("source", "clip")}
    if rule.source is None:  # a header written before there were these fields
        assert adapter.validate_python(old) == replace(rule, clip=False)
    else:
        with pytest.raises(ValueError, match="source must be given"):
            adapter.validate_python(old)


def test_image_is_read_at_most_twice() -> None:
    image = image_of(0, 1)
    passes = []

    def blocks() -> Iterable[np.ndarray]:
        passes.append(1)
        return iter([image])

    NormalizationRule().fit(blocks)
    assert len(passes) == 2


@pytest.mark.parametrize(
    "settings_",
    [
        {"method": "magic"},
        {"low": 50, "high": 50},
        {"low": -1},
        {"high": 101},
        {"target": (1, 0)},
        {"target": (0, np.inf)},
        {"target": (0, 1e38)},
        {"method": "range"},
        {"source": (0, 255)},
        {"method": "range", "source": (255, 0)},
        {"method": "range", "source": (0, np.nan)},
        {"method": "range", "source": (0, 1e300)},
    ],
)
def test_impossible_rule_is_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|must satisfy"):
        NormalizationRule(**settings_)


@pytest.mark.parametrize(("offset", "scale"), [(0, 0), (np.nan, 1), (0, np.inf)])
def test_impossible_map_is_refused(offset: float, scale: float) -> None:
    with pytest.raises(ValueError, match="finite offset and a finite scale"):
        Normalization(offset, scale)


def test_a_turned_map_swaps_the_ends_and_comes_back_to_the_same_image() -> None:
    image = np.array([100.0, 150.0, 300.0], np.float32)
    norm = Normalization(100.0, 200.0).turned((0.0, 1.0))
    assert norm.apply(image).tolist() == [1.0, 0.75, 0.0]
    assert norm.invert(norm.apply(image)).tolist() == image.tolist()


@pytest.mark.parametrize("limits", [(1, 1), (1, -1), (-np.inf, 1), (0, np.nan), (0, 1e38)])
def test_impossible_limits_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="limits must be an increasing pair"):
        Normalization(0.0, 1.0, limits=limits)


def test_standard_gives_zero_mean_and_unit_variance_whatever_the_blocks() -> None:
    image = np.random.default_rng(0).normal(1e6, 3, (90, 70)).astype(np.float32)
    image[0, 0], image[1, 1] = np.nan, np.inf
    rule = NormalizationRule(method="standard", target=(-1, 1))
    norm = rule.fit(blocks_of(*np.array_split(image, 7)))
    seen = norm.apply(image)[np.isfinite(image)]
    assert abs(float(seen.mean())) < 1e-3
    assert abs(float(seen.std()) - 1) < 1e-3
    np.testing.assert_allclose(norm.invert(norm.apply(image))[2:], image[2:], atol=0.1)
    again = TypeAdapter(NormalizationRule).validate_python(json.loads(json.dumps(asdict(rule))))
    assert again == rule
