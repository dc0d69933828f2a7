import subprocess
import sys

import numpy as np
import pytest

from napari_hush.synthesis import average_cell, measure_lattice, samples
from napari_hush.synthesis.series import KINDS

PHANTOMS = ("foam", "cells")
DRIFTING = ("lattice-series", "moving-spots")
CLEAN = ("unit-crop",)
SCANS = [name for name in samples.SAMPLES if name not in (*PHANTOMS, *CLEAN, *DRIFTING)]


@pytest.fixture(scope="module", params=samples.SAMPLES)
def drawn(request):
    return samples.sample(request.param)


@pytest.fixture(scope="module", params=SCANS)
def scan(request):
    return samples.sample(request.param)


def test_arrays_agree(drawn):
    assert drawn.noisy.shape == drawn.clean.shape
    assert drawn.transmission.shape == drawn.clean.shape
    assert drawn.noisy.dtype == drawn.clean.dtype == np.float32
    assert np.isfinite(drawn.noisy).all()
    assert drawn.transmission.min() >= 0
    assert drawn.transmission.max() <= 1


def test_values_are_counts(scan):
    assert scan.clean.max() == pytest.approx(scan.dose, rel=0.15)
    assert scan.noisy.mean() == pytest.approx(scan.clean.mean(), rel=0.03)
    residual = scan.noisy.astype(np.float64) - scan.clean
    assert residual.std() > 0.3 * np.sqrt(scan.clean.mean())


def test_positions_lie_on_bright_columns_outside_dents(scan):
    y, x = np.rint(scan.positions).astype(int).T
    frame, t = (a.reshape(-1, *a.shape[-2:])[0] for a in (scan.clean, scan.transmission))
    undented = t[y, x] > 0.99
    assert undented.sum() > 300
    assert frame[y, x][undented].min() > 0.4 * scan.dose


def test_has_a_dent(scan):
    assert scan.transmission.min() < 0.5
    assert scan.transmission.max() > 0.99


def test_unit_crop_is_clean_and_holds_a_lattice():
    crop = samples.sample("unit-crop")
    np.testing.assert_array_equal(crop.noisy, crop.clean)
    lattice = measure_lattice(crop.clean)
    assert min(lattice.periods) == pytest.approx(crop.period, abs=0.01)
    assert lattice.residual < 0.05
    assert len(average_cell(crop.clean).columns) == 2


@pytest.mark.parametrize("name", PHANTOMS)
def test_phantoms_are_noisy_around_the_truth(name):
    drawn = samples.sample(name)
    assert drawn.noisy.mean() == pytest.approx(drawn.clean.mean(), rel=0.03)
    assert (drawn.noisy - drawn.clean).std() > 0.1 * drawn.clean.max()
    assert len(drawn.positions) == len(drawn.vacancies) == 0
    assert np.isnan(drawn.period)


@pytest.mark.parametrize("name", DRIFTING)
def test_drifting_series_know_where_everything_is(name):
    drawn = samples.sample(name)
    series = drawn.series
    assert drawn.noisy.shape == drawn.clean.shape == (8, 256, 256)
    assert drawn.noisy.mean() == pytest.approx(drawn.clean.mean(), rel=0.03)
    assert np.abs(series.drift).max() == pytest.approx(3) and not series.drift[0].any()
    assert [event.kind for event in series.events] == (list(KINDS) if name == "lattice-series" else [])
    for number in (0, 7):
        shown = series.heights[number] == 1
        places = series.place(number, series.positions[number])[shown]
        y, x = np.rint(places).astype(int).T
        inside = (y >= 0) & (x >= 0) & (y < 256) & (x < 256)
        y, x = y[inside], x[inside]
        there = series.transmission[number][y, x] > 0.99
        assert drawn.clean[number][y, x][there].min() > 0.4 * drawn.dose
    for event in series.events:
        place = series.place(event.frame, series.positions[0, event.column])
        y, x = np.rint(place).astype(int)
        before, after = (drawn.clean[k][y - 1 : y + 2, x - 1 : x + 2].max() for k in (0, event.frame))
        assert after < 0.75 * before or series.transmission[0][y, x] < 0.9


def test_same_seed_same_sample():
    one, two, other = (samples.sample("stack", rng) for rng in (3, np.random.default_rng(3), 4))
    np.testing.assert_array_equal(one.noisy, two.noisy)
    assert not np.array_equal(one.noisy, other.noisy)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="dented-lattice"):
        samples.sample("lena")


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_napari_function_gives_layer_data(name):
    functions = {
        "foam": samples.foam_slice,
        "cells": samples.cells_low_light,
        "lattice-series": samples.lattice_series_with_events,
    }
    ((data, options, kind),) = (functions.get(name) or getattr(samples, name.replace("-", "_")))()
    assert kind == "image"
    assert options["name"] == name
    assert len(options["scale"]) == len(options["units"]) == data.ndim
    assert options["metadata"]["clean"].shape == data.shape


def test_samples_need_neither_napari_nor_torch():
    code = "import sys, napari_hush.synthesis.samples; sys.exit(bool({'napari', 'torch', 'qtpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
