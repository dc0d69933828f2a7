"""Models and graphs that are kept from one process to the next: same results, no torch, and never trusted blindly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_hush as hush
from napari_hush.cache import SUFFIX, VARIABLE, keep, read_kept
from napari_hush.inference import kept_models
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines import devices, probe
from napari_hush.inference.engines.openvino_engine import OpenVINOEngine, has_openvino
from napari_hush.inference.kept_models import load_kept
from napari_hush.inference.kept_network import KeptNetwork
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.networks import NETWORKS

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Run = Callable[..., subprocess.CompletedProcess[str]]

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="the fast extra is not installed")
RUN = DenoiseSettings(device="cpu", engine="openvino", precision="float32", guard=False)
IMAGE = np.random.default_rng(0).poisson(20, (130, 140)).astype(np.float32)

CODE = """
import sys
from napari_hush.cli import main
code = main(sys.argv[1:])
print("torch" if "torch" in sys.modules else "no torch")
sys.exit(code)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr(devices, "may_have_gpu", lambda: False)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small model whose weights matter."""
    return saved(tmp_path / "tiny.safetensors", "cnn", {"widths": [4]})


def saved(path: Path, architecture: str, hyperparameters: dict[str, object], seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = Model.create(architecture, hyperparameters)
    for parameter in model.network.parameters():
        nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else nn.init.normal_(parameter, std=0.1)
    model.save(path)
    return path


def denoised(model: Path | Model, image: NDArray[np.float32] = IMAGE) -> NDArray[np.float32]:
    """By the way that the command line and `denoise` take."""
    result: NDArray[np.float32] = run_steps(denoise_steps(image, model, RUN)).image
    return result


def no_loading(*_: object) -> NoReturn:
    raise AssertionError("the model was loaded")


def command(*arguments: str | Path, cache: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", CODE, "denoise", *map(str, arguments)]
    environment = os.environ | {VARIABLE: str(cache), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


@needs_openvino
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="torch is asked for a GPU")
def test_no_torch_where_a_graph_is_kept(tmp_path: Path) -> None:
    cache, source = tmp_path / "cache", tmp_path / "x.tif"
    tifffile.imwrite(source, IMAGE)
    results = []
    for number, folder in enumerate(("off", cache, cache)):
        out = tmp_path / f"{number}.tif"
        words = finished(command(source, "-o", out, "--model", "general", cache=Path(folder)))
        assert words.endswith("no torch\n") == (number == 2)
        results.append(tifffile.imread(out))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
    tifffile.imwrite(source, IMAGE[:70, :91])  # of another size, and nobody has named the model
    assert finished(command(source, cache=cache)).endswith("no torch\n")


@needs_openvino
@pytest.mark.slow
def test_processes_at_once_fill_one_cache(tmp_path: Path, file: Path) -> None:
    cache, source = tmp_path / "cache", tmp_path / "x.tif"
    tifffile.imwrite(source, IMAGE)
    outs = [tmp_path / f"{number}.tif" for number in range(3)]
    running = [command(source, "-o", out, "--model", file, "--guard", "False", cache=cache) for out in outs]
    for process in running:
        finished(process)
    for out in outs[1:]:
        np.testing.assert_array_equal(tifffile.imread(out), tifffile.imread(outs[0]))
    assert len(list(cache.iterdir())) == len(list(cache.glob(f"*{SUFFIX}"))) == 2, "a model and its graph"


@needs_openvino
def test_it_computes_the_same_from_what_was_kept(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = denoised(hush.load_model(file))
    assert not cache.exists(), "a model that somebody holds may change"
    np.testing.assert_array_equal(denoised(file), expected)
    monkeypatch.setattr(kept_models, "load_model", no_loading)
    np.testing.assert_array_equal(denoised(file), expected)
    # a small image is worth it, too, since nothing is built for it
    assert run_steps(denoise_steps(IMAGE, file, DenoiseSettings(guard=False))).provenance["engine"] == "openvino"


@needs_openvino
@pytest.mark.parametrize("architecture", [name for name in NETWORKS if not name.startswith("cyclegan")])
def test_a_graph_for_all_sizes_is_the_graph_of_each(architecture: str, cache: Path, tmp_path: Path) -> None:
    model = load_kept(saved(tmp_path / "model.safetensors", architecture, {}))
    network = model.network
    assert isinstance(network, KeptNetwork)
    for sides in ((2, 3), (1, 5)):
        height, width = (model.stride * -(-side * 16 // model.stride) for side in sides)
        array = np.random.default_rng(0).normal(size=(1, model.in_channels, height, width)).astype(np.float32)
        expected = OpenVINOEngine(network.whole)(array)
        np.testing.assert_array_equal(OpenVINOEngine(model.network)(array), expected)
        np.testing.assert_array_equal(OpenVINOEngine(model.network)(array), expected)
    assert len(list(cache.glob("*-any*"))) == len(list(cache.glob("*-*"))) == 1


@needs_openvino
def test_a_network_with_fixed_sizes_in_it_has_a_graph_for_each(cache: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", "tomogan", {"upsampling": "bilinear_tf1"})  # it reshapes
    network = load_kept(path).network
    assert isinstance(network, KeptNetwork)
    for side in (32, 48):
        array = np.random.default_rng(0).normal(size=(1, 1, side, 64)).astype(np.float32)
        expected = OpenVINOEngine(network.whole)(array)
        for _ in range(2):
            np.testing.assert_array_equal(OpenVINOEngine(load_kept(path).network)(array), expected)
    assert len(list(cache.glob("*-1x1x*"))) == 2


@needs_openvino
def test_damaged_files_are_made_again(cache: Path, file: Path) -> None:
    expected = denoised(file)
    for path in list(cache.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        np.testing.assert_array_equal(denoised(file), expected)
        assert read_kept(path.name.removesuffix(SUFFIX)) is not None


@needs_openvino
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"header": {}, "facts": {}, "warnings": []}', b"\xff"])
def test_a_record_of_another_kind_is_made_again(content: bytes, cache: Path, file: Path) -> None:
    expected = denoised(file)
    (record,) = cache.glob("*.model*")
    keep(record.name.removesuffix(SUFFIX), content)
    np.testing.assert_array_equal(denoised(file), expected)
    (graph,) = cache.glob("*-*")
    keep(graph.name.removesuffix(SUFFIX), content)
    np.testing.assert_array_equal(denoised(file), expected)


@needs_openvino
def test_another_version_and_another_file_have_their_own(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = denoised(file)
    saved(file, "cnn", {"widths": [4]}, seed=1)
    assert not np.array_equal(denoised(file), first)
    assert len(list(cache.glob("*.model*"))) == 2
    versions = {"openvino": "1", "napari-hush": "2"}
    monkeypatch.setattr(kept_models, "_version", versions.get)
    denoised(file)
    assert len(list(cache.glob("*.model*"))) == 3


@needs_openvino
@pytest.mark.parametrize("place", ["file/in/the/way", "off"])
def test_without_a_cache_it_computes_all_the_same(
    place: str, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(VARIABLE, place if place == "off" else str(tmp_path / place))
    for _ in range(2):
        np.testing.assert_array_equal(denoised(file), denoised(hush.load_model(file)))


@needs_openvino
def test_what_an_importer_warns_of_is_said_each_time(cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    load = kept_models.load_model

    def load_with_a_word(path: Path) -> Model:
        warnings.warn("the file does not say", UserWarning, stacklevel=2)
        return load(path)

    monkeypatch.setattr(kept_models, "load_model", load_with_a_word)
    for _ in range(2):
        with pytest.warns(UserWarning, match="does not say"):
            assert isinstance(load_kept(file).network, KeptNetwork)
        monkeypatch.setattr(kept_models, "load_model", no_loading)


@needs_openvino
def test_a_kept_model_says_what_the_model_says(cache: Path) -> None:
    for card in hush.list_models():
        model = hush.load_model(card.name)
        for kept in (load_kept(card.name), load_kept(card.name)):
            assert isinstance(kept.network, KeptNetwork)
            for name in ("card", "scale", "guard", "companions", "normalization", "hyperparameters", "sha256"):
                assert getattr(kept, name) == getattr(model, name)
            for name in ("in_channels", "image_channels", "out_channels", "stride", "smallest", "halo", "depth"):
                assert getattr(kept, name) == getattr(model, name)
            assert (kept.staged, kept.n_parameters) == (model.staged, model.n_parameters)
            assert repr(kept) == repr(model)


@needs_openvino
def test_torch_takes_the_network_itself(cache: Path, file: Path) -> None:
    settings = DenoiseSettings(device="cpu", engine="torch", guard=False)
    expected = run_steps(denoise_steps(IMAGE, hush.load_model(file), settings)).image
    for _ in range(2):
        np.testing.assert_array_equal(run_steps(denoise_steps(IMAGE, file, settings)).image, expected)


@needs_openvino
def test_a_model_file_that_changes_during_the_run_is_refused(cache: Path, file: Path) -> None:
    load_kept(file)
    kept = load_kept(file)
    saved(file, "cnn", {"widths": [4]}, seed=1)
    with pytest.raises(hush.InputError, match="changed during the run"):
        assert isinstance(kept.network, KeptNetwork) and kept.network.whole


def test_a_driver_of_a_gpu_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.importlib.metadata, "version", lambda _: "2.10.0")
    monkeypatch.setattr(probe.sys, "platform", "linux")
    monkeypatch.setattr(probe, "DRIVERS", (str(tmp_path / "nvidiactl"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not probe.may_have_gpu()
    (tmp_path / "nvidiactl").touch()
    assert probe.may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not probe.may_have_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(probe.importlib.metadata, "version", lambda _: "2.10.0+cpu")
    assert not probe.may_have_gpu()


def test_torch_is_not_asked_for_a_gpu_that_cannot_be_there() -> None:
    code = (
        "import sys; from napari_hush.inference.engines import devices; devices.may_have_gpu = lambda: False; "
        "assert devices.available_devices() == ['cpu'] and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_openvino
def test_what_is_kept_holds_no_paths(cache: Path, file: Path) -> None:
    denoised(file)
    for path in cache.iterdir():
        assert str(file.parent).encode() not in path.read_bytes()
    (record,) = cache.glob("*.model*")
    assert json.loads(record.read_bytes()[32:])["header"]["architecture"] == "cnn"
