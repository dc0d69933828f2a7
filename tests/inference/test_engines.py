"""Engines in the life of a process: many calls, many threads, forks; nothing is printed, nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.engines.openvino_engine import OpenVINOEngine, has_openvino
from napari_hush.inference.engines.registry import choose_engine
from napari_hush.model import Model

pytestmark = pytest.mark.slow  # processes are started

IMAGE = np.random.default_rng(0).poisson(10, (768, 768)).astype(np.float32)
FAST = {"engine": "openvino", "device": "cpu", "precision": "float32", "guard": False}
TORCH = FAST | {"engine": "torch"}

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="the fast extra is not installed")


def make(architecture: str = "cnn", seed: int = 0, **hyperparameters: object) -> Model:
    """A model whose weights are large enough to matter."""
    torch.manual_seed(seed)
    model = Model.create(architecture, hyperparameters)
    for parameter in model.network.parameters():
        nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else nn.init.normal_(parameter, std=0.1)
    return model


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with two threads in every library."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)


def difference(image: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(image - expected).max() / np.ptp(expected))


@needs_openvino
def test_nothing_is_printed_and_nothing_warned_of():
    done = run(
        """
import warnings
import napari_hush as hush, numpy as np
from napari_hush.model import Model
import napari_hush.inference.denoise, torch  # what others say on being imported is not meant here
warnings.simplefilter("always")
warnings.simplefilter = warnings.filterwarnings = lambda *_, **__: None  # nobody turns them off
image = np.random.default_rng(0).normal(size=(70, 90))
for name, arguments in {"cnn": {}, "cyclegan_resnet": {"width": 4, "blocks": 1}}.items():
    hush.denoise(image, Model.create(name, arguments), engine="openvino", device="cpu", guard=False)
""",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_openvino
@pytest.mark.parametrize(("threads", "shared"), [(3, False), (8, True)], ids=["a model each", "one model"])
def test_threads_do_not_disturb_each_other(threads, shared):
    models = [make(seed=0 if shared else seed) for seed in range(threads)]
    models = [models[0]] * threads if shared else models
    images = [np.roll(IMAGE, 100 * number, axis=0) for number in range(threads)]
    together = Barrier(threads)

    def work(number: int) -> np.ndarray:
        together.wait()
        return hush.denoise(images[number], models[number], **FAST)

    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(work, range(threads)))
    for number in range(threads):
        assert difference(done[number], hush.denoise(images[number], models[number], **TORCH)) < 1e-5


PINNED = """
import os, sys, threading, time
import numpy as np, torch
from napari_hush.inference.engines.openvino_engine import OpenVINOEngine
from napari_hush.model import Model

torch.set_num_threads(1)
engine = OpenVINOEngine(Model.create("cnn", {"widths": (16, 16)}).network)
seen, image = set(), np.zeros((1, 1, 256, 256), np.float32)
engine(image)
going = threading.Thread(target=lambda: [engine(image) for _ in range(100)])
going.start()
while going.is_alive():
    for task in os.listdir("/proc/self/task"):
        try:
            seen.add(frozenset(os.sched_getaffinity(int(task))))
        except OSError:
            pass  # it has ended
    time.sleep(0.001)
print(len(seen))
"""


@needs_openvino
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinities are read as Linux has them")
def test_threads_are_pinned_to_no_core_which_other_processes_would_take_too():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core")
    done = subprocess.run([sys.executable, "-c", PINNED], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "1"


@needs_openvino
def test_threads_can_share_a_staged_model():
    model = make("cyclegan_resnet", width=4, blocks=1)
    image = IMAGE[:200, :180]
    expected = hush.denoise(image, model, **TORCH)
    together = Barrier(3)

    def work(_: int) -> np.ndarray:
        together.wait()
        return hush.denoise(image, model, tile=64, **FAST)

    with ThreadPoolExecutor(3) as pool:
        assert max(difference(done, expected) for done in pool.map(work, range(3))) < 1e-5


@needs_openvino
def test_threads_can_share_an_engine():
    network = make().network
    engine, reference = OpenVINOEngine(network), choose_engine(network, device="cpu", engine="torch")
    # of several sizes: the engine holds one graph at a time
    arrays = [np.random.default_rng(n).normal(size=(1, 1, 32 + n % 3, 40)).astype(np.float32) for n in range(30)]
    with ThreadPoolExecutor(3) as pool:
        for found, array in zip(pool.map(engine, arrays), arrays, strict=True):
            assert difference(found, reference(array)) < 1e-5


@needs_openvino
def test_memory_does_not_grow_with_calls_and_sizes():
    model = make("tomogan")  # 2.8 MB of weights
    process = psutil.Process()
    used = []
    for number in range(40):
        hush.denoise(IMAGE[: 40 + 8 * (number % 20), :64], model, **FAST)
        used.append(process.memory_info().rss / 2**20)
    assert used[-1] - used[9] < 30, "MB in 30 calls; a copy of the weights each would be 85"


@needs_openvino
def test_changed_weights_count_at_once():
    model = make()
    before = hush.denoise(IMAGE[:64, :64], model, **FAST)
    with torch.no_grad():
        for parameter in model.network.parameters():  # in place, as training changes them
            parameter.mul_(1.5)
    after = hush.denoise(IMAGE[:64, :64], model, **FAST)
    assert difference(before, after) > 0.1
    assert difference(after, hush.denoise(IMAGE[:64, :64], model, **TORCH)) < 1e-5


class Cube(nn.Module):
    """What OpenVINO's graph has no word for."""

    in_channels = out_channels = stride = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.matrix_power(x, 3)


@needs_openvino
def test_a_network_of_unknown_operations_goes_to_torch():
    assert choose_engine(Cube(), device="cpu").name == "torch"
    assert choose_engine(make().network, device="cpu").name == "openvino"
    engine = choose_engine(Cube(), device="cpu", engine="openvino")
    with pytest.raises(InputError, match=r"because of the operation .*matrix_power.*: use engine='torch'"):
        engine(np.zeros((1, 1, 8, 8), np.float32))


FORK = """
import multiprocessing, sys, warnings
import numpy as np, torch
import napari_hush as hush
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.model import Model
from napari_hush.inference.settings import DenoiseSettings

warnings.simplefilter("ignore")  # Python's own, of forks beside threads
torch.manual_seed(0)
model = Model.create("cnn", {{}})
image = np.random.default_rng(0).normal(100, 10, (800, 800))

def denoise(engine):
    return run_steps(denoise_steps(image, model, DenoiseSettings(engine=engine, device="cpu", guard=False)))

def child(queue, engine):
    try:
        done = denoise(engine)
        queue.put((done.provenance["engine"], float(np.abs(done.image - before).max())))
    except hush.InputError as error:
        queue.put(("refused", str(error)))

before = denoise({parent!r}).image
context = multiprocessing.get_context("fork")
for engine in {children!r}:
    queue = context.Queue()
    process = context.Process(target=child, args=(queue, engine), daemon=True)
    process.start()
    try:
        print(*queue.get(timeout=120))
    finally:
        process.kill()
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def forked(parent: str, *children: str) -> list[str]:
    """What the children of a process say that has denoised with one engine, and are told to use another."""
    done = run(FORK.format(parent=parent, children=children))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_fork
@needs_openvino
def test_children_of_a_process_that_used_openvino_take_torch_or_refuse_in_words():
    auto, refused = forked("openvino", "auto", "openvino")
    engine, off = auto.split()
    assert engine == "torch" and float(off) < 1e-3
    assert refused.startswith("refused OpenVINO does not work in a process that was forked")
    assert "get_context('spawn')" in refused


@needs_fork
def test_children_of_a_process_that_used_torch_use_torch_and_may_be_the_first_to_use_openvino():
    children = ["torch", *(["openvino"] if has_openvino() else [])]
    for name, line in zip(children, forked("torch", *children), strict=True):
        engine, off = line.split()
        assert engine == name and float(off) < 1e-3


@needs_fork
@needs_openvino
def test_forked_processes_end_in_peace():
    done = run("""
import os, sys, time
import numpy as np, torch, warnings
from napari_hush.inference.engines.openvino_engine import OpenVINOEngine
from napari_hush.networks.cnn import CNN

warnings.simplefilter("ignore")

def child_ends(work):
    child = os.fork()
    if not child:
        work()
        sys.exit(3)  # Python takes down all that there is, other than at the end of a process of multiprocessing
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.kill(child, 9)
    return "hangs"

engine = OpenVINOEngine(CNN().eval())
engine(np.zeros((1, 1, 512, 512), np.float32))
found = [child_ends(lambda: None), child_ends(engine.close)]
engine.close()
print(*found, child_ends(lambda: None))
""")
    assert done.stdout.split() == ["3", "3", "3"], done.stderr
