"""What one line adds: an engine of `ENGINES` and a field of `DenoiseSettings`, in Python and on the command line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import napari_hush as hush
from napari_hush import cli
from napari_hush.card import ModelCard
from napari_hush.declare import Registry
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines import registry
from napari_hush.inference.engines.registry import ENGINES, choose_engine
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.io import read_image, write_image
from napari_hush.model import Model

IMAGE = np.random.default_rng(0).poisson(40, (64, 72)).astype(np.float32)


class Negative(TorchEngine):
    """Another engine: it gives the network's output with its sign turned."""

    name = "negative"

    @classmethod
    def refusal(cls, device, precision):
        return "negative knows no bfloat16: use precision='float32'" if precision == "bfloat16" else ""

    def __call__(self, *inputs):
        return -super().__call__(*inputs)


@pytest.fixture
def model():
    return Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="tiny"))


@pytest.fixture
def negative(monkeypatch):
    monkeypatch.setitem(ENGINES, "negative", Negative)


@pytest.mark.usefixtures("negative")
def test_an_engine_is_used_from_python(model):
    plain = hush.denoise(IMAGE, model, engine="torch", guard=False)
    zero = model.normalization.fit(lambda: [IMAGE]).invert(np.zeros((1, 1, 1), np.float32)).item()
    done = run_steps(denoise_steps(IMAGE, model, DenoiseSettings(engine="negative", guard=False)))
    assert done.provenance["engine"] == "negative"
    np.testing.assert_allclose(done.image - zero, zero - plain, atol=1e-3)  # in the network's units the sign is turned
    with pytest.raises(InputError, match="knows no bfloat16"):
        choose_engine(model.network, device="cpu", engine="negative", precision="bfloat16")


def test_an_engine_that_is_in_no_line_is_refused(model):
    with pytest.raises(InputError, match="engine must be one of auto, openvino, torch, compiled, onnx, got 'negative'"):
        hush.denoise(IMAGE, model, engine="negative")


@pytest.mark.usefixtures("negative")
def test_auto_takes_the_first_engine_that_suits(model, monkeypatch):
    # a registry of the test's own: in the common one, entries that are taken out and put back change their order
    monkeypatch.setattr(registry, "ENGINES", Registry({"negative": Negative, **ENGINES}))
    assert choose_engine(model.network, device="cpu").name == "negative"
    monkeypatch.setattr(Negative, "suits", classmethod(lambda *_: False))
    assert choose_engine(model.network, device="cpu").name != "negative"


@pytest.mark.usefixtures("negative")
def test_an_engine_is_used_on_the_command_line(model, tmp_path, capsys):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    model.save(tmp_path / "tiny.safetensors")
    words = ["denoise", tmp_path / "in.tif", "--model", tmp_path / "tiny.safetensors", "--engine", "negative"]
    assert cli.main([str(word) for word in words]) == 0
    assert "with negative in float32" in capsys.readouterr().out
    expected = hush.denoise(IMAGE, model, engine="negative")
    np.testing.assert_allclose(read_image(tmp_path / "in_denoised.tif").data, expected, rtol=1e-5, atol=1e-4)


SETTING = """
from dataclasses import dataclass
from typing import Annotated
import inspect, sys
from napari_hush.declare import Bounds
from napari_hush.inference import settings

@dataclass(frozen=True, kw_only=True)
class DenoiseSettings(settings.DenoiseSettings):
    '''With one field more.

    Parameters
    ----------
    sharpness : float
        How sharp it should be.
    '''

    sharpness: Annotated[float, Bounds(0, 2)] = 1.0

settings.DenoiseSettings = DenoiseSettings  # as if the line stood in the class

import napari_hush as hush
from napari_hush.cli import main
from napari_hush.cli.denoise import Denoise
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.plan import Plan
from napari_hush.io import read_image

assert inspect.signature(hush.denoise).parameters["sharpness"].default == 1.0
image = read_image("in.tif").data
hush.denoise(image, "./tiny.safetensors", sharpness=0.5, engine="torch")
try:
    hush.denoise(image, "./tiny.safetensors", sharpness=3)
except hush.InputError as error:
    assert "sharpness must be a number from 0 to 2, got 3" in str(error)
else:
    sys.exit("the bounds were not looked at")
done = run_steps(denoise_steps(image, "./tiny.safetensors", DenoiseSettings(sharpness=0.25, engine="torch")))
assert done.provenance["settings"]["sharpness"] == 0.25

seen = []
record = Plan.record
Plan.record = lambda self: (seen.append(self.settings.sharpness), record(self))[1]
words = "denoise in.tif --model ./tiny.safetensors --engine torch --sharpness"
assert main([*words.split(), "1.5"]) == 0 and seen == [1.5]
assert main([*words.split(), "7"]) == 2
main(["denoise", "--help"])
"""


def test_a_setting_is_an_argument_an_option_and_in_the_record(model, tmp_path):
    write_image(tmp_path / "in.tif", IMAGE, axes="YX")
    model.save(tmp_path / "tiny.safetensors")
    command = [sys.executable, "-c", SETTING]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "sharpness must be a number from 0 to 2, got 7" in done.stderr
    assert "--sharpness" in done.stdout and "How sharp it should be." in done.stdout
