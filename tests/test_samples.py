import subprocess
import sys

import numpy as np
import pytest

from napari_hush import samples


@pytest.fixture(scope="module", params=samples.SAMPLES)
def drawn(request):
    return samples.sample(request.param)


def test_arrays_agree(drawn):
    assert drawn.noisy.shape == drawn.clean.shape
    assert drawn.transmission.shape == drawn.clean.shape
    assert drawn.noisy.dtype == drawn.clean.dtype == np.float32
    assert np.isfinite(drawn.noisy).all()
    assert drawn.transmission.min() >= 0
    assert drawn.transmission.max() <= 1


def test_values_are_counts(drawn):
    assert drawn.clean.max() == pytest.approx(drawn.dose, rel=0.15)
    assert drawn.noisy.mean() == pytest.approx(drawn.clean.mean(), rel=0.03)
    residual = drawn.noisy.astype(np.float64) - drawn.clean
    assert residual.std() > 0.3 * np.sqrt(drawn.clean.mean())


def test_positions_lie_on_bright_columns_outside_dents(drawn):
    y, x = np.rint(drawn.positions).astype(int).T
    frame, t = (a.reshape(-1, *a.shape[-2:])[0] for a in (drawn.clean, drawn.transmission))
    undented = t[y, x] > 0.99
    assert undented.sum() > 300
    assert frame[y, x][undented].min() > 0.4 * drawn.dose


def test_has_a_dent(drawn):
    assert drawn.transmission.min() < 0.5
    assert drawn.transmission.max() > 0.99


def test_same_seed_same_sample():
    one, two, other = (samples.sample("stack", rng) for rng in (3, np.random.default_rng(3), 4))
    np.testing.assert_array_equal(one.noisy, two.noisy)
    assert not np.array_equal(one.noisy, other.noisy)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="dented-lattice"):
        samples.sample("lena")


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_napari_function_gives_layer_data(name):
    ((data, options, kind),) = getattr(samples, name.replace("-", "_"))()
    assert kind == "image"
    assert options["name"] == name
    assert len(options["scale"]) == len(options["units"]) == data.ndim
    assert options["metadata"]["clean"].shape == data.shape


def test_samples_need_neither_napari_nor_torch():
    code = "import sys, napari_hush.samples; sys.exit(bool({'napari', 'torch', 'qtpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
