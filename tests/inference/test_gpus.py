"""Several GPUs, played by the CPU: everything but the kernels runs, and what torch.cuda is told is written down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import numpy as np
import pytest
import torch
from torch import nn

import napari_hush as hush
from napari_hush.cli.options import options_of, settings_of
from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import psnr
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines import compiled_engine, devices, torch_engine
from napari_hush.inference.engines.copy_streams import CopyStreams
from napari_hush.inference.engines.exact_float32 import exact_float32
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.memory import free_memory
from napari_hush.model import Model
from napari_hush.training.adapt.settings import AdaptSettings
from napari_hush.training.settings import SupervisedSettings

IMAGE = np.random.default_rng(0).poisson(20, (150, 130)).astype(np.float32)


class Cuda:
    """Streams and events that do nothing but say what they were asked."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.main = self.Stream("main")
        self.made = 0

    def Stream(self, name: object) -> Stream:
        """The first one that is made copies up, the second one down."""
        if not isinstance(name, str):
            name, self.made = ("up", "down")[self.made], self.made + 1
        return Stream(self, name)

    def Event(self) -> Event:
        return Event(self)

    def current_stream(self, _: torch.device) -> Stream:
        return self.main

    @contextmanager
    def stream(self, stream: Stream):
        self.log.append(f"on {stream.name}")
        yield

    @contextmanager
    def device(self, _: torch.device):
        yield

    def synchronize(self, _: torch.device) -> None:
        self.log.append("wait for all")

    def empty_cache(self) -> None:
        self.log.append("empty")


class Stream:
    def __init__(self, cuda: Cuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: Stream) -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")


class Event:
    number = 0

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        Event.number += 1
        self.number = Event.number

    def record(self, stream: Stream) -> None:
        self.cuda.log.append(f"event {self.number} on {stream.name}")

    def synchronize(self) -> None:
        self.cuda.log.append(f"result {self.number}")


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs that have bfloat16."""
    cuda, asked = Cuda(), []
    Event.number = 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (1 << 30, 2 << 30))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, stream: cuda.log.append(f"kept for {stream.name}"))
    monkeypatch.setattr(torch_engine, "place_of", lambda _: torch.device("cpu"))
    streams = CopyStreams(torch.device("cpu"), cuda, pinned=False)
    monkeypatch.setattr(torch_engine, "streams_of", lambda _: streams)
    cuda.asked = asked
    return cuda


@pytest.fixture
def cnn():
    model = Model.create("cnn", {})
    for parameter in model.network.parameters():
        nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else nn.init.normal_(parameter, std=0.1)
    return model


def run(model, **settings):
    options = {"guard": False, "engine": "torch", "precision": "float32", "batch_size": 1} | settings
    return run_steps(denoise_steps(IMAGE, model, DenoiseSettings(**options)))


@pytest.mark.parametrize("kind", [DenoiseSettings, SupervisedSettings, AdaptSettings])
def test_every_gpu_can_be_named_wherever_a_device_is(kind):
    assert kind(device="cuda:1").device == "cuda:1"
    assert settings_of(options_of(kind)(device="cuda:12"), kind).device == "cuda:12"
    for wrong in ("cuda:", "cuda:x", "cuda:-1", "gpu", 1):
        with pytest.raises(InputError, match=r"device must be one of auto, cpu, cuda, mps"):
            kind(device=wrong)


@pytest.mark.parametrize(
    ("asked", "found"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_names_stand_for_devices(asked, found, gpus, cnn):
    assert choose_engine(cnn.network, device=asked).device == found


def test_a_gpu_that_is_not_there_is_named_with_those_that_are(gpus, cnn):
    with pytest.raises(InputError, match=r"device 'cuda:2' is not available: .* offer cuda:0, cuda:1, cpu"):
        choose_engine(cnn.network, device="cuda:2")
    assert list(devices.DEVICES)[-2:] == ["cuda:0", "cuda:1"]


def test_gpus_are_counted_without_torch(monkeypatch, tmp_path):
    monkeypatch.delitem(devices.sys.modules, "torch")
    monkeypatch.setattr(devices, "GPUS", tmp_path)
    for number in range(3):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    for visible, count in ((None, 3), ("", 0), ("-1", 0), ("2", 1), ("0,2", 2), ("1,-1,0", 1)):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert devices.count_gpus() == count, visible
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert list(devices.DEVICES) == ["cpu", "cuda", "mps", "cuda:0", "cuda:1", "cuda:2"]


def test_the_memory_of_the_device_itself_is_asked_for(gpus, cnn):
    assert free_memory("cuda:1") == 1 << 30
    run(cnn, device="cuda:1", tile=64)
    assert set(gpus.asked) == {"cuda:1"}


def test_a_gpu_gives_what_the_cpu_gives_and_the_record_says_how(gpus, cnn):
    expected = run(cnn, device="cpu", tile=64)
    done = run(cnn, device="cuda:1", tile=64)
    np.testing.assert_array_equal(done.image, expected.image)
    record = done.provenance
    assert (record["device"], record["precision"], record["tf32"]) == ("cuda:1", "float32", False)
    assert "tf32" not in expected.provenance


def test_the_next_batch_is_on_its_way_before_the_last_one_is_waited_for(gpus, cnn):
    run(cnn, device="cuda", tile=64, batch_size=2)
    steps = [line for line in gpus.log if line.startswith(("event", "result"))]
    assert steps[:5] == ["event 1 on down", "event 2 on down", "result 1", "event 3 on down", "result 2"]
    assert steps[-1] == f"result {Event.number}"
    one = ["on up", "main waits for up", "kept for main", "down waits for main", "on down", "kept for down"]
    assert gpus.log[:7] == [*one, "event 1 on down"]
    assert gpus.log[-2:] == ["wait for all", "empty"]


def test_what_does_not_fit_on_a_gpu_is_done_in_smaller_parts(gpus, cnn):
    class Small(TorchEngine):
        failed = 0

        def _compute(self, inputs):
            if inputs[0].numel() > 110**2:
                self.failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            return super()._compute(inputs)

    engine = Small(cnn.network, "cuda:0")
    events = []
    settings = DenoiseSettings(guard=False, tile=80, batch_size=2)
    done = run_steps(denoise_steps(IMAGE, cnn, settings, engine=engine), events.append)
    np.testing.assert_allclose(done.image, run(cnn, device="cpu", tile=80).image, rtol=0, atol=1e-4)
    assert engine.failed > 0
    assert gpus.log.count("empty") == engine.failed
    assert events[-1].step == events[-1].total


def test_tiles_that_were_on_their_way_are_done_again(gpus, cnn):
    """The second batch does not fit beside the first one, which nobody has asked for yet."""

    class Full(TorchEngine):
        calls = 0

        def _compute(self, inputs):
            self.calls += 1
            if self.calls == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._compute(inputs)

    settings = DenoiseSettings(guard=False, tile=64, batch_size=2)
    done = run_steps(denoise_steps(IMAGE, cnn, settings, engine=Full(cnn.network, "cuda:0")))
    np.testing.assert_allclose(done.image, run(cnn, device="cpu", tile=64).image, rtol=0, atol=1e-4)


def test_networks_in_pieces_run_on_a_gpu(gpus):
    model = Model.create("cyclegan_resnet", {"width": 4, "blocks": 1})
    expected = run(model, device="cpu", tile=64)
    done = run(model, device="cuda:1", tile=64)
    np.testing.assert_array_equal(done.image, expected.image)
    assert done.provenance["device"] == "cuda:1"


def test_another_error_of_a_gpu_is_no_lack_of_memory(gpus, cnn):
    class Broken(TorchEngine):
        def _compute(self, inputs):
            raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        Broken(cnn.network, "cuda:0")(np.zeros((1, 1, 8, 8), np.float32))


def test_gpus_with_bfloat16_use_it_and_stay_near_float32(gpus):
    image = hush.sample("dented-lattice").noisy[:192, :192]
    found = {
        precision: run_steps(
            denoise_steps(image, "stem", DenoiseSettings(device="cuda", precision=precision, guard=False))
        )
        for precision in ("auto", "float32")
    }
    assert {name: one.provenance["precision"] for name, one in found.items()} == {
        "auto": "bfloat16",
        "float32": "float32",
    }
    assert psnr(found["float32"].image, found["auto"].image) > 40


def test_gpus_without_bfloat16_use_float32(gpus, monkeypatch, cnn):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_engine(cnn.network, device="cuda").precision == "float32"


def test_float32_is_not_rounded_inside_and_as_it_was_behind():
    convolution, product = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = convolution.fp32_precision, product.fp32_precision
    convolution.fp32_precision, product.fp32_precision = "tf32", "tf32"
    together, seen = Barrier(2), []

    def work(number: int) -> None:
        with exact_float32():
            together.wait()
            seen.append((convolution.fp32_precision, product.fp32_precision))
            if number:
                together.wait()
        if not number:  # the first one has left: the other one computes on
            together.wait()
            return

    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
        assert seen == [("ieee", "ieee")] * 2
        assert (convolution.fp32_precision, product.fp32_precision) == ("tf32", "tf32")
    finally:
        convolution.fp32_precision, product.fp32_precision = before


def test_compiling_wants_a_gpu_and_its_compiler(gpus, monkeypatch, cnn):
    with pytest.raises(InputError, match="runs on GPUs of CUDA, got device 'cpu'"):
        choose_engine(cnn.network, device="cpu", engine="compiled")
    monkeypatch.setattr(compiled_engine.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs triton"):
        choose_engine(cnn.network, device="cuda:1", engine="compiled")


def test_a_compiled_network_gives_the_same_and_one_that_is_not_says_why(gpus, monkeypatch, cnn):
    expected = run(cnn, device="cpu", tile=64).image
    monkeypatch.setattr(compiled_engine.importlib.util, "find_spec", lambda _: True)
    calls = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: calls.append(dynamic) or network)
    done = run(cnn, device="cuda", tile=64, engine="compiled")
    np.testing.assert_array_equal(done.image, expected)
    assert calls == [False]
    assert (done.provenance["engine"], done.provenance["compiled"]) == ("compiled", True)

    def failing(*_):
        raise TypeError("no word for\nthis")

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: failing)
    done = run(cnn, device="cuda", tile=64, engine="compiled")
    np.testing.assert_array_equal(done.image, expected)
    assert done.provenance["compiled"] == "not compiled: TypeError: no word for this"
