"""Images larger than memory: what is measured and run does not grow with them, and nothing is done where nothing is."""

import numpy as np
import pytest
import torch
import zarr

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.guards.guard import Guard
from napari_hush.inference.ledger import Step
from napari_hush.inference.measure import MeasuredLattice, measure_spacing
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles import shared, sizes
from napari_hush.inference.tiles.runner import TileRunner
from napari_hush.inference.tiles.sizes import bytes_per_pixel, tile_sides
from napari_hush.io import read_image
from napari_hush.model import Model

pytestmark = pytest.mark.slow

IMAGE = np.random.default_rng(0).poisson(20, (640, 616)).astype(np.uint16)
SETTINGS = DenoiseSettings(engine="torch", device="cpu", precision="float32")


class Counting(TorchEngine):
    """Counts what goes through the network."""

    def __init__(self, network):
        super().__init__(network, "cpu", "float32")
        self.pixels = 0

    def __call__(self, batch):
        self.pixels += batch.size
        return super().__call__(batch)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = Model.create("cnn")
    for parameter in made.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture
def small(monkeypatch, model):
    """Tiles that are hardly larger than what the guard looks at, and smaller pieces."""
    monkeypatch.setattr(sizes, "LAZY_GUARD_BYTES", sizes.GUARD_BYTES[False] * 440**2)
    monkeypatch.setattr(sizes, "LAZY_TILE_BYTES", bytes_per_pixel(model) * 120**2)


def lazy(image, **options):
    stored = zarr.create_array({}, shape=image.shape, chunks=(64, 64), dtype=image.dtype, **options)
    stored[...] = image
    return stored


def run(image, model, engine):
    return run_steps(denoise_steps(lazy(image), model, SETTINGS, engine=engine))


def test_what_has_one_value_is_computed_once(model, small, monkeypatch):
    image = np.full((1100, 1100), 7, np.uint16)
    image[:300, :300] = IMAGE[:300, :300]
    guarded = []
    apply = Guard.apply
    monkeypatch.setattr(Guard, "apply", lambda self, *args: guarded.append(1) or apply(self, *args))
    engine = Counting(model.network)
    done = run(image, model, engine)
    calls = len(guarded)
    monkeypatch.setattr(shared, "only_value", lambda values: None)
    every = Counting(model.network)
    whole = run(image, model, every)
    assert engine.pixels < 0.3 * every.pixels  # 0.17: the plane's borders, too, are computed once
    assert calls < 0.5 * (len(guarded) - calls)
    assert np.abs(done.image - whole.image).max() <= 1e-6 * np.ptp(whole.image)
    np.testing.assert_allclose(done.image[650:800, 650:800], 7, rtol=1e-6)


@pytest.mark.parametrize(("margin", "lattice"), [(121, True), (156, False)])
def test_a_tile_and_its_margin_fit_and_the_margin_is_not_most_of_it(margin, lattice):
    model = Model.create("tomogan")
    for size in (2048, 4096, 8192, 131072):
        side = tile_sides(model, SETTINGS, (size, size), lazy=True, margin=margin, lattice=lattice)
        seen = [min(one + 2 * margin + 16, size) for one in side]
        assert sizes.GUARD_BYTES[lattice] * np.prod(seen) < 1.3 * sizes.LAZY_GUARD_BYTES
        assert np.prod(seen) < 2.2 * np.prod(side)


@pytest.mark.parametrize("shape", [(600, 200_000), (200_000, 600), (3000, 3000)])
def test_values_are_looked_at_in_parts_that_do_not_grow_with_the_image(shape):
    image = np.broadcast_to(np.uint8(1), shape)
    sizes_of_parts = [part.size for part in Planes(image).plane_blocks((), 0)]
    assert sum(sizes_of_parts) == np.prod(shape)
    assert max(sizes_of_parts) <= 2 << 20


@pytest.mark.parametrize("chunks", [(512, 512), (700, 100), (2048, 64)])
def test_parts_are_made_of_whole_chunks(chunks):
    image = zarr.create_array({}, shape=(4096, 6000), chunks=chunks, dtype="uint8")
    planes, total = Planes(image), 0
    for part in planes.plane_blocks((), 0):
        total += part.size
        assert part.size <= max(2 << 20, np.prod(chunks))
        for size, chunk, whole in zip(part.shape[1:], chunks, image.shape, strict=True):
            assert (
                size % chunk == 0
                or size == whole
                or size == whole % (size // chunk * chunk + chunk)
                or size < chunk * 16
            )
    assert total == 4096 * 6000


def sparse_file(path, image, corner):
    """A zarr of which only one corner was ever stored."""
    array = zarr.create_array(path, shape=image.shape, chunks=(64, 64), dtype=image.dtype)
    array[corner] = image[corner]
    return read_image(path, fill_missing=True).data


def test_what_was_never_stored_has_no_part_in_the_range_of_the_values(model, tmp_path):
    corner = np.s_[:192, :256]
    image = sparse_file(tmp_path / "sparse.zarr", np.pad(IMAGE, ((0, 900), (0, 900))), corner)
    assert image.is_empty(np.s_[300:400, 0:64]) and not image.is_empty(np.s_[190:400, 0:64])
    found = run_steps(denoise_steps(image, model, SETTINGS)).provenance["normalization"][0]
    stored = run_steps(denoise_steps(IMAGE[corner], model, SETTINGS)).provenance["normalization"][0]
    assert found == stored


def test_parts_that_were_never_stored_are_read_without_zarr(tmp_path, monkeypatch):
    image = sparse_file(tmp_path / "sparse.zarr", IMAGE, np.s_[:64, :64])
    np.testing.assert_array_equal(image[:100, :100], np.pad(IMAGE[:64, :64], (0, 36)))
    monkeypatch.setattr(zarr.Array, "__getitem__", None)
    assert image[500, 100:90:-2].shape == (5,) and not image[200:300, 64:].any()


def test_a_long_run_goes_on_without_looking_at_all_tiles_for_each_that_is_done(model):
    runner = TileRunner(Counting(model.network), model, (16_000, 16_000), (100, 100))
    tiles = runner.plan()
    before = [Step(((100, 100),), 1, (tile.core,), (100, 100)) for tile in tiles[:-5]]

    class Looked(list):
        count = 0

        def __iter__(self):
            Looked.count += 1
            return super().__iter__()

    monkey = Looked(tiles)
    runner.plan = lambda: monkey
    assert [tile.core for tile in runner._left(before)] == [tile.core for tile in tiles[-5:]]
    assert Looked.count <= 2


def test_what_is_measured_on_a_sparse_image_is_measured_where_something_was_stored(tmp_path):
    image = np.zeros((5000, 5000), np.uint16)
    corner = np.s_[4224:4928, 64:768]  # none of the windows in the middle and towards the corners touches it
    lattice = hush.sample("dented-lattice")
    image[corner] = np.clip(np.tile(lattice.noisy, (2, 2))[:704, :704] * 100 + 500, 0, None)
    array = zarr.create_array(tmp_path / "sparse.zarr", shape=image.shape, chunks=(64, 64), dtype=image.dtype)
    array[corner] = image[corner]
    source = Planes(read_image(tmp_path / "sparse.zarr", fill_missing=True).data)
    assert measure_spacing(source, [0]) == pytest.approx(lattice.period, rel=0.02)
    assert MeasuredLattice(source, [0]).middle.any()


@pytest.mark.parametrize("shards", [None, (128, 128)])
@pytest.mark.parametrize("name", ["general", "tomo"])
def test_nothing_is_invented_where_nothing_was_stored(name, shards, tmp_path):
    image = np.zeros((384, 384), np.uint16)
    image[:128, 64:192] = np.random.default_rng(0).poisson(240, (128, 128))
    array = zarr.create_array(
        tmp_path / "sparse.zarr", shape=image.shape, chunks=(64, 64), shards=shards, dtype=image.dtype
    )
    array[:128, 64:192] = image[:128, 64:192]
    sparse = read_image(tmp_path / "sparse.zarr", fill_missing=True).data
    assert sparse.is_empty(np.s_[:64, :64]) and not sparse.is_empty(np.s_[:64, :65])
    done = run_steps(denoise_steps(sparse, name, DenoiseSettings(device="cpu", engine="torch", tile=128)))
    stored = image > 0
    assert (done.image[~stored] == 0).all() and (done.image[stored] != 0).all()
    assert done.given_back is None or not done.given_back[~stored].any()


@pytest.mark.parametrize("region", [(50, 20, 0, 10), (0, 10, 0, 10_000), (-5, 5, 0, 10)])
def test_a_region_that_is_no_part_of_the_plane_is_refused(model, region):
    with pytest.raises(InputError, match="is no part of a plane"):
        run_steps(denoise_steps(IMAGE, model, SETTINGS, region=region))
