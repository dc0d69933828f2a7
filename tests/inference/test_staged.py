"""Networks with statistics of the whole image: exact in tiles, in bounded memory, whatever goes wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference import plan
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.openvino_engine import has_openvino
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles import staged
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

pytestmark = pytest.mark.slow  # networks in pieces and in one pass

IMAGE = np.random.default_rng(0).integers(0, 4000, (203, 187)).astype(np.uint16)
KINDS = {
    "resnet": ("cyclegan_resnet", {"width": 4, "blocks": 2}),
    "resnet batch": ("cyclegan_resnet", {"width": 4, "blocks": 1, "norm": "batch", "dropout": True}),
    "resnet none": ("cyclegan_resnet", {"width": 4, "blocks": 1, "norm": "none"}),
    "unet": ("cyclegan_unet", {"width": 2, "levels": 5}),
    "unet dropout": ("cyclegan_unet", {"width": 2, "levels": 7, "dropout": True}),
    "unet batch": ("cyclegan_unet", {"width": 2, "levels": 6, "norm": "batch"}),
}
ENGINES = ["torch", *(["openvino"] if has_openvino() else [])]
CPU = {"engine": "torch", "device": "cpu", "precision": "float32", "guard": False}


def make(kind="resnet", **more):
    architecture, hyperparameters = KINDS[kind]
    torch.manual_seed(0)
    rule = NormalizationRule(low=0, high=100, target=(-1.0, 1.0))
    model = Model.create(architecture, hyperparameters | more, normalization=rule)
    for module in model.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model


def one_pass(model, image):
    """The network itself on the normalised image, padded as denoising pads it."""
    low, high = float(image.min()), float(image.max())
    height, width = (-(-n // model.stride) * model.stride for n in image.shape)
    padded = np.pad(image.astype(np.float64), [(0, height - image.shape[0]), (0, width - image.shape[1])], "symmetric")
    x = torch.from_numpy(2 * (padded - low) / (high - low) - 1)
    with torch.inference_mode():
        y = model.network.double()(x[None, None])[0, 0].numpy()
        model.network.float()
    return ((y + 1) / 2 * (high - low) + low)[: image.shape[0], : image.shape[1]]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tile", [128, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_gives_the_one_pass_and_leaves_the_network_as_it_is(kind, tile, engine):
    model = make(kind)
    done = hush.denoise(IMAGE, model, tile=tile, **(CPU | {"engine": engine}))
    expected = one_pass(model, IMAGE)
    assert np.abs(done - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("tile", [16, 100, False, None])
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_give_the_one_pass_of_the_network(kind, tile):
    model = make(kind)
    expected = one_pass(model, IMAGE)
    done = hush.denoise(IMAGE, model, tile=tile, **CPU)
    assert np.ptp(expected) > 100
    assert np.abs(done - expected).max() <= 1e-5 * np.ptp(expected)


def test_tiles_with_statistics_of_their_own_would_not():
    """The test above can fail: what is avoided here is far larger than its limit."""
    model = make()
    expected = one_pass(model, IMAGE[:200, :184])
    halo = 32
    naive = one_pass(model, IMAGE[: 100 + halo, :184])[:100]
    assert np.abs(naive - expected[:100]).max() > 1e-2 * np.ptp(expected)


def test_colours_stacks_and_holes():
    model = make(in_channels=3, out_channels=3)
    stack = np.random.default_rng(0).normal(100, 10, (2, 3, 70, 90))
    stack[1, :, 4, 5] = np.nan
    whole = run_steps(denoise_steps(stack, model, DenoiseSettings(tile=False, **CPU), channel_axis=1)).image
    tiled = run_steps(denoise_steps(stack, model, DenoiseSettings(tile=20, **CPU), channel_axis=1)).image
    np.testing.assert_array_equal(np.isnan(tiled), np.isnan(stack))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5 * np.nanmax(np.abs(whole)))


def test_each_plane_has_its_own_statistics():
    model = make()
    rule = NormalizationRule(method="identity", target=(0, 200))
    model = Model(model.network, model.architecture, model.hyperparameters, rule, model.card)
    stack = np.stack(
        [np.random.default_rng(0).normal(100, 10, (70, 90)), np.random.default_rng(1).normal(50, 5, (70, 90))]
    )
    both = run_steps(denoise_steps(stack, model, DenoiseSettings(tile=20, **CPU))).image
    for plane, image in zip(both, stack, strict=True):
        np.testing.assert_array_equal(
            plane, run_steps(denoise_steps(image, model, DenoiseSettings(tile=20, **CPU))).image
        )


def test_a_preview_shows_the_pixels_of_the_full_result():
    model = make()
    stack = np.stack([IMAGE, IMAGE[::-1]])
    full = run_steps(denoise_steps(stack, model, DenoiseSettings(tile=64, **CPU))).image
    events = []
    steps = denoise_steps(stack, model, DenoiseSettings(tile=64, **CPU), plane=(1,), region=(33, 60, 21, 187))
    part = run_steps(steps, events.append).image
    np.testing.assert_allclose(part, full[1, 33:60, 21:187], rtol=0, atol=1e-5 * np.ptp(full))
    assert events[-1].step == events[-1].total


@pytest.mark.parametrize("shape", [(1, 2), (4, 4), (1, 40), (40, 5), (7, 9)])
@pytest.mark.parametrize("kind", ["resnet", "unet"])
def test_sizes_down_to_a_pixel(kind, shape):
    image = np.random.default_rng(0).normal(100, 10, shape)
    done = hush.denoise(image, make(kind), **CPU)
    assert done.shape == shape
    assert np.isfinite(done).all()


def test_progress_counts_every_tile_of_every_piece():
    events = []
    hush.denoise(np.stack([IMAGE] * 2), make(), tile=64, frames=False, progress=events.append, **CPU)
    counted = [e.step for e in events if e.step and e.place is None]  # the others show a plane that is done
    assert counted == list(range(1, events[-1].total + 1))
    assert len({e.total for e in events if e.step}) == 1


def test_values_that_do_not_fit_into_memory_go_to_files_that_vanish(monkeypatch, tmp_path):
    model = make()
    in_memory = hush.denoise(IMAGE, model, tile=48, **CPU)
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 1000)
    monkeypatch.setattr(staged.tempfile, "tempdir", str(tmp_path))
    made = []
    original = staged._Value.__init__

    def watch(self, shape, level, folder):
        made.append(folder)
        original(self, shape, level, folder)

    monkeypatch.setattr(staged._Value, "__init__", watch)
    done = hush.denoise(IMAGE, model, tile=48, **CPU)
    np.testing.assert_array_equal(done, in_memory)
    expected = one_pass(model, IMAGE)
    assert np.abs(done - expected).max() <= 1e-5 * np.ptp(expected)
    assert set(made) == {tmp_path}
    assert not list(tmp_path.iterdir())


def test_a_result_in_a_file_keeps_its_scratch_beside_it(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 300 << 10)
    folders = []
    monkeypatch.setattr(staged, "_has_room", lambda folder, needed: not folders.append(folder))
    model = make()
    done = hush.denoise(zarr.array(IMAGE), model, out=tmp_path / "out.zarr", **CPU)
    expected = one_pass(model, IMAGE)
    assert np.abs(done[:] - expected).max() <= 1e-5 * np.ptp(expected)
    assert folders == [tmp_path]
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


def test_a_full_disk_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 1000)
    monkeypatch.setattr(staged.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5000}))
    monkeypatch.setattr(plan, "free_memory", lambda _: 4000)
    with pytest.raises(InputError, match=r"0\.0 GB left: set the environment variable TMPDIR"):
        hush.denoise(IMAGE, make(), **CPU)


def test_a_full_disk_is_no_hindrance_where_the_memory_is_large(monkeypatch):
    model = make()
    expected = hush.denoise(IMAGE, model, **CPU)
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 1000)
    monkeypatch.setattr(staged.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5000}))
    np.testing.assert_array_equal(hush.denoise(IMAGE, model, **CPU), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which part of its memory are files")
def test_what_lies_in_files_is_in_memory_in_no_piece(monkeypatch):
    """Also the last one, which reads the deepest value once more from one end to the other."""
    monkeypatch.setattr(plan, "SCRATCH_BYTES", 1000)
    kept, original = [], staged._Store.forget

    def watch(store):
        original(store)
        held = [value._map for value in store._values.values() if value._map is not None]
        kept.append(sum(resident(np.frombuffer(one, np.uint8)) for one in held))

    monkeypatch.setattr(staged._Store, "forget", watch)
    model, events = make(), []
    hush.denoise(IMAGE, model, tile=128, progress=events.append, **CPU)
    assert len(kept) == events[-1].total
    assert max(kept) == 0


def resident(values):
    """Bytes of a mapped array that are in this process's memory."""
    begin, found = values.ctypes.data, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            low, high = (int(end, 16) for end in line.split(" ")[0].split("-"))
            found = low <= begin < high
        elif found and line.startswith("Rss:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the map is not in the list")


def test_the_estimate_of_the_scratch_is_what_is_kept():
    model = make()
    stages = list(model.network.stages())
    # three values of 4 * width channels at a quarter of the size
    assert staged.scratch_bytes(stages, (200, 184)) == 3 * 4 * 16 * 50 * 46


class SmallMemory(TorchEngine):
    """Fails like a full memory on anything larger than ``limit`` pixels, in every piece."""

    limit = 150**2

    def __call__(self, *inputs):
        if inputs[0][0, 0].size > self.limit:
            raise MemoryError("simulated")
        return super().__call__(*inputs)

    def another(self, network):
        return type(self)(network, self.device, self.precision)


def test_out_of_memory_halves_the_tile_and_goes_on():
    model = make()
    events = []
    steps = denoise_steps(IMAGE, model, DenoiseSettings(tile=190, **CPU), engine=SmallMemory(model.network))
    done = run_steps(steps, events.append)
    expected = one_pass(model, IMAGE)
    assert np.abs(done.image - expected).max() <= 1e-5 * np.ptp(expected)
    assert done.provenance["tile"] == [95, 95]
    assert [e.step for e in events] == sorted(e.step for e in events)
    assert events[-1].step == events[-1].total


def test_memory_for_nothing_is_an_error_that_says_so():
    model = make()
    engine = SmallMemory(model.network)
    engine.another = lambda network: _failing(network)
    with pytest.raises(MemoryError, match="not enough memory for one tile"):
        run_steps(denoise_steps(IMAGE, model, DenoiseSettings(**CPU), engine=engine))


def _failing(network):
    engine = SmallMemory(network)
    engine.limit = 10
    return engine


@pytest.mark.parametrize("engine", ENGINES)
def test_leaving_the_run_leaves_the_model_as_it_was(engine):
    model = make()
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    for event in denoise_steps(IMAGE, model, DenoiseSettings(**(CPU | {"tile": 128, "engine": engine}))):
        if event.step == 20:
            break
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())
    assert all(m.statistics is None for m in model.network.modules() if hasattr(m, "statistics"))


def test_a_wrong_stage_is_refused():
    stage = staged.Stage(torch.nn.Identity(), ("x",), "x", 1, 0, 1)
    with staged._Store((8, 8), None) as store, pytest.raises(ValueError, match="write over"):
        store.allocate(stage)
