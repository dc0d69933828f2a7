import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.synthesis.pictures.phantoms import (
    PHANTOMS,
    cells,
    dead_leaves,
    ellipses,
    filaments,
    foam,
    pack_circles,
    tissue,
)


@pytest.fixture(scope="module", params=PHANTOMS)
def drawn(request):
    return request.param, PHANTOMS[request.param]((72, 96), rng=3)


def test_shape_type_and_range(drawn):
    _, image = drawn
    assert image.shape in ((72, 96), (3, 72, 96))
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_there_is_something_to_see(drawn):
    _, image = drawn
    assert image.std() > 0.05
    if image.ndim == 3:
        assert np.ptp(image, axis=0).max() > 0.1


def test_the_seed_decides(drawn):
    name, image = drawn
    np.testing.assert_array_equal(image, PHANTOMS[name]((72, 96), rng=np.random.default_rng(3)))
    assert not np.array_equal(image, PHANTOMS[name]((72, 96), rng=4))


def test_circles_neither_overlap_nor_leave_the_disc():
    y, x, r = pack_circles((200, 260), count=150, rng=0).T
    assert len(r) > 60
    gaps = np.hypot(y[:, None] - y, x[:, None] - x) - r[:, None] - r
    assert gaps[~np.eye(len(r), dtype=bool)].min() >= 0.004 * 200 - 1e-9
    assert (np.hypot(y - 99.5, x - 129.5) + r).max() <= 0.47 * 200
    assert r.max() > 5 * r.min()


def test_bubbles_of_the_foam_are_the_packed_circles():
    image = foam((160, 160), rng=5)
    circles = pack_circles((160, 160), rng=5)
    solid = np.pi * ((0.47 * 160) ** 2 - (circles[:, 2] ** 2).sum())
    assert image.sum() / 0.8 == pytest.approx(solid, rel=0.01)
    y, x = np.rint(circles[circles[:, 2] > 2, :2]).astype(int).T
    assert image[y, x].max() == 0


def test_ellipses_lie_in_a_bright_shell_on_nothing():
    image = ellipses((128, 128), rng=1)
    assert image[0].max() == image[:, 0].max() == 0
    assert image.max() == 1
    assert 0.1 < np.median(image[image > 0]) < 0.6


def test_filaments_hold_nothing_finer_than_the_point_spread():
    image = filaments((128, 128), count=1, psf=2.0, persistence=1e9, haze=0.0, rng=2).astype(np.float64)
    power = np.abs(np.fft.fft2(image * np.outer(np.hanning(128), np.hanning(128)))) ** 2
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    assert power[frequency > 0.3].sum() < 1e-3 * power[frequency > 0].sum()


def test_cells_have_as_many_nuclei_as_their_distance_allows():
    from skimage.measure import label

    image = cells((240, 240), diameter=48, texture=0.0, rng=0)
    nuclei = np.count_nonzero(np.bincount(label(image > 0.44).ravel())[1:] > 50)
    assert 15 <= nuclei <= 45


def test_leaves_have_flat_tones_and_sharp_edges_without_shading():
    image = dead_leaves((96, 96), shading=0.0, rng=1)
    step = np.abs(np.diff(image, axis=1))
    assert np.mean(step < 1e-6) > 0.3
    assert step.max() > 0.3


def test_leaves_look_alike_at_every_scale():
    image = dead_leaves((256, 256), radius=(1.0, 200.0), shading=0.0, rng=0).astype(np.float64)
    power = np.abs(np.fft.fft2((image - image.mean()) * np.outer(np.hanning(256), np.hanning(256)))) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    bands = [(0.02, 0.04), (0.04, 0.08), (0.08, 0.16)]
    means = [power[(frequency >= low) & (frequency < high)].mean() for low, high in bands]
    slopes = np.diff(np.log2(means))
    assert (slopes < -1).all() and (slopes > -3.2).all()  # photographs fall as about f^-2


def test_colours_of_tissue_are_those_of_its_stains():
    red, green, blue = tissue((96, 96), rng=0)
    assert green.mean() < blue.mean()
    assert green.mean() < red.mean()
    dark = green < np.percentile(green, 3)
    assert blue[dark].mean() > red[dark].mean()


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (foam, {"radius": (0.2, 0.1)}),
        (ellipses, {"contrast": 2.0}),
        (filaments, {"psf": 0.0}),
        (cells, {"diameter": 1.0}),
        (tissue, {"diameter": 1.0}),
        (dead_leaves, {"radius": (0.0, 5.0)}),
        (dead_leaves, {"channels": 2}),
        (dead_leaves, {"shading": -1.0}),
    ],
)
def test_impossible_phantom_is_refused(make, wrong):
    with pytest.raises(InputError, match=r"got|expected"):
        make((32, 32), rng=0, **wrong)
