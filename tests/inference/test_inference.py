"""Denoising: tiled equals whole, units and holes survive, memory trouble and cancelling do no harm."""

import functools
import warnings

import dask.array
import h5py
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import napari_hush as hush
from napari_hush.card import ModelCard
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.openvino_engine import has_openvino
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image
from napari_hush.io.formats.file_array import FileArray
from napari_hush.model import Model
from napari_hush.networks import NETWORKS
from napari_hush.networks.tomogan import TomoGAN
from napari_hush.normalize import NormalizationRule
from small_networks import SMALL

IMAGE = np.random.default_rng(0).integers(0, 4000, (203, 187)).astype(np.uint16)
SMALL_IMAGE = IMAGE[:139, :123]  # still several tiles of 64 px each way


def model_of(architecture="cnn", seed=0, **hyperparameters):
    """A model whose weights are large enough to matter."""
    torch.manual_seed(seed)
    model = Model.create(architecture, hyperparameters, card=ModelCard(name=f"test-{architecture}"))
    for parameter in model.network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module")
def cnn():
    return model_of("cnn")


def identity_model():
    """A network that gives back its input exactly."""
    model = Model.create("cnn", {"widths": [1], "kernel_size": 1})
    for name, parameter in model.network.named_parameters():
        torch.nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
    # ReLU cuts below zero: normalise everything to positive values
    rule = NormalizationRule(low=0, high=100, target=(1.0, 2.0))
    return Model(model.network, "cnn", model.hyperparameters, rule, model.card)


def torch_cpu(**options):
    """Settings under which the result is the network's own."""
    return DenoiseSettings(engine="torch", device="cpu", precision="float32", **({"guard": False} | options))


@pytest.mark.parametrize(("name", "expected"), [("cells", "general"), ("dented-lattice", "stem")])
def test_auto_takes_the_bundled_model_that_fits(name, expected):
    image = hush.sample(name).noisy[:128, :128]
    done = run_steps(denoise_steps(image, settings=torch_cpu(guard="auto")))
    assert done.provenance["model"] == expected and "lattice" in done.provenance["chosen_because"]
    np.testing.assert_array_equal(done.image, hush.denoise(image, expected, engine="torch", device="cpu"))
    assert run_steps(denoise_steps(image, expected, torch_cpu())).provenance["chosen_because"] is None


@functools.cache
def denoised_whole(network, engine):
    """A model, and the image through it in one pass."""
    model = model_of(network, **SMALL.get(network, {}))
    return model, hush.denoise(SMALL_IMAGE, model, tile=False, device="cpu", engine=engine, precision="float32")


@pytest.mark.parametrize("tile", [16, 64, None])
@pytest.mark.parametrize("engine", [name for name in ("torch", "openvino") if name == "torch" or has_openvino()])
@pytest.mark.parametrize("network", NETWORKS)
def test_tiled_equals_whole(network, tile, engine):
    model, whole = denoised_whole(network, engine)
    tiled = hush.denoise(SMALL_IMAGE, model, tile=tile, device="cpu", engine=engine, precision="float32")
    assert np.ptp(whole) > 0
    assert np.abs(tiled - whole).max() <= 1e-5 * np.ptp(whole)


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear_tf1"])
def test_tiled_equals_whole_for_every_upsampling(upsampling):
    model = model_of("tomogan", upsampling=upsampling)
    whole = run_steps(denoise_steps(IMAGE, model, torch_cpu(tile=False))).image
    tiled = run_steps(denoise_steps(IMAGE, model, torch_cpu(tile=40))).image
    assert np.abs(tiled - whole).max() <= 1e-5 * np.ptp(whole)


def test_whole_pass_is_the_network_on_the_normalised_image():
    model = model_of("tomogan")
    image = IMAGE[:200, :184].astype(np.float64)  # multiples of the stride: nothing is padded
    low, high = np.percentile(image, (1, 99), method="lower")
    with torch.inference_mode():
        x = torch.from_numpy(((image - low) / (high - low)).astype(np.float32))
        expected = model.network(x[None, None])[0, 0].numpy() * (high - low) + low
    done = run_steps(denoise_steps(image, model, torch_cpu(tile=False))).image
    assert np.abs(done - expected).max() <= 1e-5 * np.ptp(expected)


def test_an_identity_network_gives_the_image_back_in_its_units():
    image = IMAGE.astype(np.float64) * 3.7 - 2000
    done = hush.denoise(image, identity_model(), precision="float32")
    np.testing.assert_allclose(done, image, rtol=1e-5, atol=1e-2)


DTYPES = [np.uint8, np.int8, np.uint16, np.int32, np.uint64, np.float16, np.float32, np.float64, np.bool_]


@settings(max_examples=25, deadline=None)
@given(
    image=hnp.arrays(
        st.sampled_from(DTYPES),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=9),
    )
)
def test_every_dtype_and_shape_down_to_one_pixel(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "the image lies around")
        if image.ndim > 2 and image.shape[-1] == 1:  # it may hold colours
            warnings.filterwarnings("ignore", "an image of shape .* is taken for .* planes of")
        try:
            done = run_steps(denoise_steps(image, MODEL, torch_cpu())).image
        except InputError as error:
            assert any(words in str(error) for words in ("constant", "no finite value", "subtract"))
            return
    assert done.dtype == np.float32 or np.abs(np.median(image.astype(np.float64))) > 1000
    assert done.shape == image.shape
    with np.errstate(over="ignore"):
        values = image.astype(np.float32)
    np.testing.assert_array_equal(np.isfinite(done), np.isfinite(values))


MODEL = model_of("cnn")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (7, 9), (2, 3, 33, 31)])
def test_odd_sizes_through_a_network_of_stride_eight(shape):
    image = np.random.default_rng(0).normal(5, 2, shape)
    assert run_steps(denoise_steps(image, model_of("tomogan"), torch_cpu())).image.shape == shape


def test_lazy_inputs_give_the_same_as_numpy(cnn, tmp_path):
    stack = np.random.default_rng(0).normal(10, 2, (3, 70, 90)).astype(np.float32)
    expected = run_steps(denoise_steps(stack, cnn, torch_cpu(tile=32))).image
    np.save(tmp_path / "stack.npy", stack)
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        dataset = file.create_dataset("data", data=stack, chunks=(1, 32, 32))
        inputs = {
            "memmap": np.load(tmp_path / "stack.npy", mmap_mode="r"),
            "in a file": FileArray(tmp_path / "stack.npy", 128, stack.shape, stack.dtype),
            "zarr on disk": zarr.create_array(tmp_path / "stack.zarr", data=stack, chunks=(1, 32, 32)),
            "zarr in shards": zarr.create_array(
                tmp_path / "shards.zarr", data=stack, chunks=(1, 32, 32), shards=(1, 64, 96)
            ),
            "zarr": zarr.array(stack, chunks=(1, 25, 40)),
            "dask": dask.array.from_array(stack, chunks=(2, 50, 33)),
            "hdf5": dataset,
            "list": stack.tolist(),
        }
        for name, lazy in inputs.items():
            done = run_steps(denoise_steps(lazy, cnn, torch_cpu(tile=32))).image
            np.testing.assert_allclose(done, expected, rtol=1e-5, atol=1e-4, err_msg=name)


def test_chunks_that_are_not_there_are_no_zeros(cnn, tmp_path):
    stack = np.random.default_rng(0).normal(10, 2, (3, 70, 90)).astype(np.float32)
    array = zarr.create_array(tmp_path / "stack.zarr", data=stack, chunks=(1, 32, 32))
    (tmp_path / "stack.zarr" / "c" / "1" / "0" / "2").unlink()
    with pytest.raises(InputError, match=r"chunk c/1/0/2 is not there.*fill_missing=True"):
        hush.denoise(array, cnn, guard=False)
    image = read_image(tmp_path / "stack.zarr", fill_missing=True).data
    assert hush.denoise(image, cnn, guard=False).shape == stack.shape


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channels_go_one_by_one_with_their_own_normalisation(cnn, axis):
    channels = [np.random.default_rng(c).normal(10 ** (c + 1), 10**c, (40, 50)) for c in range(3)]
    image = np.stack(channels, axis=axis)
    done = run_steps(denoise_steps(image, cnn, torch_cpu(), channel_axis=axis)).image
    for c, channel in enumerate(channels):
        alone = run_steps(denoise_steps(channel, cnn, torch_cpu())).image
        np.testing.assert_allclose(np.take(done, c, axis=axis), alone, rtol=1e-4)


def test_colours_without_a_channel_axis_are_warned_of(cnn):
    with pytest.warns(UserWarning, match=r"taken for 40 planes of 30 x 3 px.*channel_axis=-1"):
        hush.denoise(np.stack([IMAGE[:40, :30]] * 3, axis=-1), cnn, guard=False)


def test_channels_go_together_through_a_model_of_as_many():
    model = model_of("cnn", in_channels=2, out_channels=2)
    image = np.random.default_rng(0).normal(100, 10, (40, 50, 2))
    assert run_steps(denoise_steps(image, model, torch_cpu(), channel_axis=-1)).image.shape == image.shape
    with pytest.raises(InputError, match="takes 2 channels"):
        hush.denoise(image[..., 0], model)
    with pytest.raises(InputError, match="takes 2 channels"):
        hush.denoise(image[..., [0, 1, 1]], model, channel_axis=-1)


@pytest.mark.parametrize("out_channels", [1, 3])
def test_a_grey_image_goes_through_a_model_of_colours(out_channels):
    model = model_of("cnn", in_channels=3, out_channels=out_channels)
    image = np.random.default_rng(0).normal(100, 10, (40, 50))
    image[3, 4] = np.nan
    grey = run_steps(denoise_steps(image, model, torch_cpu())).image
    assert grey.shape == image.shape
    assert np.isnan(grey[3, 4])
    assert np.isnan(grey).sum() == 1
    colours = model_of("cnn", in_channels=3, out_channels=3) if out_channels == 3 else None
    if colours is not None:  # the same as each colour of a grey RGB image, averaged
        rgb = run_steps(denoise_steps(np.stack([image] * 3), colours, torch_cpu(), channel_axis=0)).image
        np.testing.assert_allclose(grey, rgb.mean(axis=0), rtol=1e-5)
    dyes = np.stack([image, 5 * image])
    done = run_steps(denoise_steps(dyes, model, torch_cpu(), channel_axis=0)).image
    np.testing.assert_allclose(done[0], grey, rtol=1e-5)
    np.testing.assert_allclose(done[1], 5 * grey, rtol=1e-4)


def test_a_model_of_depth_takes_neighbouring_slices():
    model = model_of("tomogan", depth=3)
    stack = np.random.default_rng(0).normal(100, 10, (2, 4, 40, 48)).astype(np.float32)  # (T, Z, Y, X)
    stack[1, 2, 5, 6] = np.nan
    done = run_steps(denoise_steps(stack, model, torch_cpu())).image
    assert done.shape == stack.shape
    np.testing.assert_array_equal(np.isnan(done), np.isnan(stack))
    values = np.nan_to_num(stack[0], nan=0)
    low, high = np.percentile(stack[np.isfinite(stack)], (1, 99), method="lower")
    for z, neighbours in enumerate([(1, 0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 2)]):
        x = torch.from_numpy((values[list(neighbours)] - low) / (high - low))[None]
        with torch.inference_mode():
            expected = model.network(x)[0, 0].numpy() * (high - low) + low
        np.testing.assert_allclose(done[0, z], expected, rtol=1e-3, atol=0.05)
    one = run_steps(denoise_steps(stack, model, torch_cpu(), plane=(1, 1), region=(8, 32, 0, 48))).image
    np.testing.assert_allclose(one, done[1, 1, 8:32], rtol=1e-4)
    with pytest.raises(InputError, match="3 neighbouring slices of a stack"):
        hush.denoise(stack[0, 0], model)


def averaging_slices(depth):
    """A network that gives the mean of the slices that it sees, each as far as 10 network units below 0."""
    network = TomoGAN(depth=depth)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.stem.weight[0] = 1 / depth
        network.stem.bias[0] = 10
        for conv in (*network.enc1, *network.dec1):
            conv.weight[0, 0, 1, 1] = 1
        network.head.weight[0, 0] = network.out.weight[0, 0] = 1
        network.out.bias[0] = -10
    return Model(network, "tomogan", {"depth": depth})


def test_the_ends_of_a_volume_come_out_nearly_as_good_as_its_inside():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, (48, 48)).astype(np.float32)
    volume = truth + rng.normal(0, 1, (9, 48, 48)).astype(np.float32)  # the same in all slices, with noise of their own
    done = hush.denoise(volume, averaging_slices(5), device="cpu", engine="torch", guard=False)
    errors = np.sqrt(((done - truth) ** 2).mean(axis=(1, 2)))
    # Of five slices two are seen twice: sqrt(1 + 4 + 4) / 5. Repeating the end would leave sqrt(9 + 1 + 1) / 5 = 0.66.
    np.testing.assert_allclose(errors[[0, -1]], 0.6, atol=0.02)
    np.testing.assert_allclose(errors[2:-2], 5**-0.5, atol=0.02)


def test_holes_are_filled_for_the_network_and_are_there_again():
    image = np.random.default_rng(0).normal(100, 10, (120, 130))
    image[np.random.default_rng(1).random(image.shape) < 0.02] = np.nan
    image[5, 6], image[7, 8] = np.inf, -np.inf
    image[40:80, 30:90] = np.nan
    model = model_of("tomogan")
    whole = run_steps(denoise_steps(image, model, torch_cpu(tile=False))).image
    tiled = run_steps(denoise_steps(image, model, torch_cpu(tile=24))).image
    finite = np.isfinite(image)
    np.testing.assert_array_equal(whole[~finite], image[~finite].astype(np.float32))
    assert np.isfinite(whole[finite]).all()
    assert np.abs(tiled[finite] - whole[finite]).max() <= 1e-5 * np.ptp(whole[finite])


def test_one_dead_pixel_changes_its_neighbourhood_only(cnn):
    image = np.random.default_rng(0).normal(100, 10, (60, 60))
    broken = image.copy()
    broken[30, 30] = np.nan
    change = np.abs(hush.denoise(broken, cnn, engine="torch") - hush.denoise(image, cnn, engine="torch"))
    change[30 - 7 : 30 + 8, 30 - 7 : 30 + 8] = 0
    assert change.max() < 0.2  # the percentiles of the image may move by one rank


def test_a_preview_shows_the_pixels_of_the_full_result():
    model = model_of("tomogan")
    stack = np.stack([IMAGE, IMAGE[::-1]])
    full = run_steps(denoise_steps(stack, model, torch_cpu(tile=64))).image
    part = run_steps(denoise_steps(stack, model, torch_cpu(), plane=(1,), region=(33, 160, 21, 187))).image
    assert part.shape == (127, 166)
    assert np.abs(part - full[1, 33:160, 21:187]).max() <= 1e-5 * np.ptp(full)
    with pytest.raises(InputError, match="does not exist"):
        run_steps(denoise_steps(stack, model, plane=(2,)))


def test_a_preview_computes_its_region_and_the_halo_alone():
    model = model_of("tomogan")
    windows = []

    class Watching(TorchEngine):
        def __call__(self, batch):
            windows.append(batch.shape[-2:])
            return super().__call__(batch)

    image = np.random.default_rng(0).normal(100, 10, (600, 500))
    steps = denoise_steps(image, model, torch_cpu(), engine=Watching(model.network), region=(301, 350, 203, 260))
    assert run_steps(steps).image.shape == (49, 57)
    assert windows == [(64 + 80, 72 + 80)]


class SmallMemory(TorchEngine):
    """Fails like a full memory on anything larger than ``limit`` pixels."""

    limit = 120**2

    def __call__(self, batch):
        if batch.size > self.limit:
            raise MemoryError("simulated")
        return super().__call__(batch)


def test_out_of_memory_halves_the_batch_then_the_tile_and_goes_on():
    model = model_of("tomogan")
    whole = run_steps(denoise_steps(IMAGE, model, torch_cpu(tile=False))).image
    events = []
    steps = denoise_steps(IMAGE, model, torch_cpu(tile=64, batch_size=4), engine=SmallMemory(model.network))
    done = run_steps(steps, events.append)
    assert done.provenance["tile"] == [32, 32]
    assert np.abs(done.image - whole).max() <= 1e-5 * np.ptp(whole)
    assert [e.step for e in events] == sorted(e.step for e in events)
    assert events[-1].step == events[-1].total


def test_what_did_not_fit_once_is_not_tried_again_on_the_next_plane():
    model = model_of("tomogan")
    stack = np.stack([IMAGE] * 5)
    events = []
    steps = denoise_steps(stack, model, torch_cpu(tile=64, batch_size=4), engine=SmallMemory(model.network))
    done = run_steps(steps, events.append)
    assert done.provenance["tile"] == [32, 32]  # as for one plane
    assert events[-1].step == events[-1].total
    whole = run_steps(denoise_steps(stack, model, torch_cpu(tile=False))).image
    assert np.abs(done.image - whole).max() <= 1e-5 * np.ptp(whole)


def test_memory_for_nothing_is_an_error_that_says_so(cnn):
    engine = SmallMemory(cnn.network)
    engine.limit = 10
    with pytest.raises(MemoryError, match="not enough memory for one tile"):
        run_steps(denoise_steps(IMAGE, cnn, torch_cpu(), engine=engine))


@pytest.mark.parametrize("message", ["[enforce fail] DefaultCPUAllocator: can't allocate memory", "CUDA out of memory"])
def test_torch_out_of_memory_becomes_a_memory_error(cnn, message, monkeypatch):
    engine = TorchEngine(cnn.network)

    def fail(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(engine, "_copy", fail)
    with pytest.raises(MemoryError):
        engine(np.zeros((1, 1, 8, 8), np.float32))


def test_other_runtime_errors_are_not_taken_for_memory(cnn, monkeypatch):
    engine = TorchEngine(cnn.network)

    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine, "_copy", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run_steps(denoise_steps(IMAGE, cnn, torch_cpu(), engine=engine))


def test_out_takes_a_path_and_leaves_nothing_when_left(cnn, tmp_path):
    expected = run_steps(denoise_steps(IMAGE, cnn, torch_cpu())).image
    path = tmp_path / "out.zarr"
    done = run_steps(denoise_steps(IMAGE, cnn, torch_cpu(tile=50), out=path))
    np.testing.assert_allclose(zarr.open(path, mode="r")["0"][:], expected, rtol=1e-4, atol=0.02)
    np.testing.assert_allclose(done.image[:], expected, rtol=1e-4, atol=0.02)
    steps = denoise_steps(IMAGE, cnn, torch_cpu(tile=50), out=tmp_path / "left.zarr")
    for event in steps:
        if event.step == 2:
            break
    steps.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint8"])
def test_out_takes_an_array_and_clips_integers(cnn, dtype):
    done = zarr.create_array({}, shape=IMAGE.shape, chunks=(64, 64), dtype=dtype)
    expected = run_steps(denoise_steps(IMAGE, cnn, torch_cpu())).image
    given_back = hush.denoise(IMAGE, cnn, engine="torch", tile=64, out=done, guard=False)
    assert given_back is done
    if dtype != "float32":
        limits = np.iinfo(dtype)
        expected = np.clip(expected, limits.min, limits.max)
    np.testing.assert_allclose(done[:], expected, rtol=1e-3, atol=0.6)


def test_a_failing_report_ends_the_run_and_removes_the_output(cnn, tmp_path):
    def report(event):
        if event.step:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        hush.denoise(IMAGE, cnn, tile=64, out=tmp_path / "out.zarr", progress=report)
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_tile(cnn, capsys):
    events = []
    hush.denoise(IMAGE, cnn, tile=64, progress=events.append)
    assert events[0].step == 0
    assert [e.step for e in events if e.step] == list(range(1, events[-1].total + 1))
    hush.denoise(IMAGE, cnn, progress=True)
    assert "tile" in capsys.readouterr().err


def test_the_input_and_the_model_stay_as_they_were(cnn):
    image, before = IMAGE.copy(), {k: v.clone() for k, v in cnn.network.state_dict().items()}
    hush.denoise(image, cnn)
    np.testing.assert_array_equal(image, IMAGE)
    assert all(torch.equal(v, before[k]) for k, v in cnn.network.state_dict().items())


def test_provenance_tells_what_was_done(cnn):
    provenance = run_steps(denoise_steps(IMAGE, cnn, torch_cpu(tile=64))).provenance
    assert provenance["model"] == "test-cnn"
    assert provenance["tile"] == [64, 64]
    assert provenance["engine"] == "torch"
    assert provenance["normalization"][0]["scale"] > 0


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        ("image.tif", {}, "got str"),
        (None, {}, "got NoneType"),
        (np.zeros((0, 5)), {}, "empty"),
        (np.zeros(5), {}, r"shape \(5,\)"),
        (np.zeros((2,) * 5), {}, "5 dimensions"),
        (np.zeros((4, 4), complex), {}, "complex"),
        (np.array([["a", "b"], ["c", "d"]]), {}, "dtype"),
        (np.array([[1, None], [2, 3]], object), {}, "dtype"),
        (torch.zeros(4, 4), {}, "numpy-like"),
        ([[1, 2], [3]], {}, "ragged"),
        (np.full((9, 9), 7), {}, r"constant \(every finite pixel is 7\)"),
        (np.full((9, 9), np.nan), {}, "no finite value"),
        (np.zeros((4, 4)), {"channel_axis": 2}, "channel_axis=2 does not exist"),
        (np.zeros((4, 4)), {"channel_axis": 0}, "beside it"),
        (IMAGE, {"tile": 0}, "tile must be"),
        (IMAGE, {"tile": 3.5}, "tile must be"),
        (IMAGE, {"batch_size": True}, "batch_size must be"),
        (IMAGE, {"device": "tpu"}, "device must be"),
        (IMAGE, {"guard": 1.5}, "guard must be"),
        (IMAGE, {"rescale": True}, "works at one lattice period"),
        (IMAGE, {"rescale": 2}, "rescale must be"),
        (IMAGE, {"dark": "auto"}, "dark must be True or False"),
        (IMAGE, {"out": np.zeros((3, 3))}, "out must be"),
    ],
)
def test_bad_input_says_what_to_do(cnn, image, options, message):
    with pytest.raises(InputError, match=message):
        hush.denoise(image, cnn, **options)


@pytest.mark.parametrize("guard", [False, "auto"])
def test_dark_columns_are_denoised_as_bright_ones_of_the_negative(guard):
    network = model_of("tomogan", upsampling="nearest")
    model = Model(network.network, "tomogan", network.hyperparameters, NormalizationRule(low=0, high=100))
    image = IMAGE.astype(np.float32)
    expected = -hush.denoise(-image, model, guard=guard)
    found = hush.denoise(image, model, guard=guard, dark=True)
    assert np.abs(found - expected).max() < 1e-5 * np.ptp(expected)
    assert np.abs(hush.denoise(image, model, guard=guard) - expected).max() > 0.01 * np.ptp(expected)


def test_a_missing_device_is_named_with_those_that_are_there(cnn):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(InputError, match=r"offer .*cpu"):
        hush.denoise(IMAGE, cnn, device="cuda")


@pytest.mark.skipif(not has_openvino(), reason="the fast extra is not installed")
def test_openvino_agrees_with_torch():
    model = model_of("tomogan")
    reference = run_steps(denoise_steps(IMAGE, model, torch_cpu())).image
    fast = hush.denoise(IMAGE, model, device="cpu", engine="openvino", precision="float32", guard=False)
    assert np.abs(fast - reference).max() <= 1e-5 * np.ptp(reference)


def test_small_work_goes_to_torch_and_large_to_the_fastest():
    model = model_of("cnn", widths=[2])
    large = np.random.default_rng(0).normal(100, 10, (800, 800))
    region = (0, 100, 0, 100)
    engines = [
        run_steps(denoise_steps(large, model, DenoiseSettings(device="cpu"), **part)).provenance["engine"]
        for part in ({}, {"region": region})
    ]
    assert engines == ["openvino" if has_openvino() else "torch", "torch"]


def test_planes_cover_every_value_once():
    image = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    planes = Planes(image, channel_axis=1)
    assert planes.lead_shape == (2,)
    assert planes.plane_shape == (5, 7)
    values = np.concatenate([block.ravel() for c in range(3) for block in planes.blocks(c)])
    np.testing.assert_array_equal(np.sort(values), np.arange(image.size))


def test_a_damaged_chunk_is_told_in_words(cnn, tmp_path):
    source = zarr.create_array(tmp_path / "in.zarr", shape=(100, 100), chunks=(50, 50), dtype="float32")
    source[:] = np.random.default_rng(0).normal(size=(100, 100))
    (tmp_path / "in.zarr" / "c" / "1" / "0").write_bytes(b"garbage")
    with pytest.raises(InputError, match="cannot be read"):
        hush.denoise(source, cnn, out=tmp_path / "out.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]
