"""One process trains on one device without Fabric, and as Fabric would."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from training_images import TINY, data_for

import napari_hush as hush
from napari_hush.cli import main
from napari_hush.errors import InputError
from napari_hush.training.one_device import OneDevice
from napari_hush.training.start import PRECISIONS, make_fabric

WITHOUT = """
import sys
sys.modules["lightning_fabric"] = None  # not installed
sys.path.insert(0, {tests!r})
from training_images import TINY, data_for
import napari_hush as hush
print(hush.train("supervised", data_for("supervised"), TINY | {{"steps": 2}}).architecture)
"""


def test_one_process_trains_without_fabric(request):
    tests = str(request.path.parent)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(tests=tests)], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("unet", "")


def test_several_processes_without_fabric_are_told_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"2 processes .*pip install 'napari-hush\[train\]', or train with one"):
        hush.train("supervised", data_for("supervised"), TINY)
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    hush.io.write_image(noisy / "a.tif", data_for("supervised")[0][0])
    assert main(["train", "noise2void", str(noisy), "-o", str(tmp_path / "a.safetensors")]) == 2
    assert "pip install 'napari-hush[train]'" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_is_that_of_fabric(precision):
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu", precision=PRECISIONS[precision])
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    found = []
    for device in (fabric, OneDevice("cpu", PRECISIONS[precision])):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 1, 3))
        network = device.setup_module(network)
        optimizer = device.setup_optimizers(torch.optim.Adam(network.parameters(), lr=0.1))
        for _ in range(3):
            optimizer.zero_grad()
            output = network(x)
            assert output.dtype == torch.float32
            device.backward((output**2).mean())
            device.clip_gradients(network, optimizer, max_norm=0.01, error_if_nonfinite=False)
            optimizer.step()
        found.append([parameter.detach().clone() for parameter in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_processor_takes_bfloat16_for_float16_and_says_so():
    with pytest.warns(UserWarning, match="processors do not train in float16: bfloat16 is taken"):
        fabric = make_fabric(hush.train_settings("supervised", {"device": "cpu", "precision": "float16"}))
    assert fabric.precision == "bf16-mixed"


def test_the_scale_for_float16_leaves_out_what_overflowed_and_is_kept():
    """As on a GPU, with a scaler that computes on the processor."""
    one = OneDevice("cpu", "32-true")
    one._scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    weight = nn.Parameter(torch.ones(1))
    optimizer = one.setup_optimizers(torch.optim.SGD([weight], lr=1.0))
    one.backward((weight * 0.25).sum())
    one.clip_gradients(nn.Identity(), optimizer, max_norm=10)
    optimizer.step()
    assert weight.item() == 0.75
    optimizer.zero_grad()
    one.backward((weight * float("inf")).sum())
    optimizer.step()
    assert weight.item() == 0.75
    kept = one.state_dict()
    assert kept["scale"] == 2.0
    other = OneDevice("cpu", "32-true")
    other._scaler = torch.amp.GradScaler("cpu")
    other.load_state_dict(kept)
    assert other.state_dict()["scale"] == 2.0
