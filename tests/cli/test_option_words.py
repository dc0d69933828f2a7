"""What commands say is in the words of the command line, whatever was wrong."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest

from keras_files import make_config, tomogan_layers, write_keras
from napari_hush.cli import COMMANDS, main
from napari_hush.cli.words import OPTIONS, in_command_words
from napari_hush.io import write_image
from napari_hush.networks.tomogan import TomoGAN
from napari_hush.training.methods.registry import METHODS

PYTHON = re.compile(r"(?<![\w/.-])[a-z_]+=(?!=)")
TRAIN = "train supervised noisy/ clean/ -o m.safetensors --device cpu --network-options width=4"
DENOISE = "denoise scan.tif -o out.tif --device cpu"
HOSTILE = [
    *(f"{DENOISE} {one}" for one in (
        "--guard strict", "--rescale True", "--engine compiled", "--engine onnx", "--precision float64",
        "--batch-size 0", "--tile 1", "--strength 3", "--channel-axis 7", "--frames 9", "--frames 1", "--spacing -1",
        "--normalize plain", "--device cuda:9", "--device gpu", "--dark 1e400", "--model missing.h5", "--first 5",
        "--model tomogan.h5", "--engine openvino --precision bfloat16", "--model stem-cyclegan --guard strict",
    )),
    *(f"{TRAIN} {one}" for one in (
        "--patch 3", "--steps 0", "--learning-rate -1", "--companions lattic", "--depth 2", "--network no",
        "--loss no", "--test-share 0.9 --validation-share 0.9", "--batch-size 0", "--start missing.safetensors",
        "--device cuda:9", "--percentiles 90 10", "--resume --checkpoint no/where.ckpt",
    )),
    "train cyclegan noisy/ clean/ -o m.safetensors --patch 8 --device cpu",
    "train noise2void volume.tif -o m.safetensors --depth 3 --device cpu",
    "synthesize out --kind stars", "synthesize out --n 1 --test-share 0.9", "synthesize out --shape 3 3",
    "synthesize out --kind cells --slices 3", "synthesize out --kind tomography --slices 3 --layout unpaired",
    "synthesize out --dose -1", "synthesize out --world no", "synthesize out --workers 0",
    "convert tomogan.h5 m.safetensors --upsampling no", "convert stem m.onnx --upsampling nearest",
    "convert tomogan.h5 m.safetensors --value-range 5 1", "convert stem m.safetensors --entry G_A",
    "convert tomogan.h5 m.zip", "models tomogan.h5 --normalization no",
    "evaluate scan.tif scan.tif --spacing -3", "evaluate scan.tif other.tif",
    "evaluate scan.tif scan.tif --repeats no.tif",
    "adapt stem scan.tif -o m.safetensors --repeats 0 --device cpu", "adapt stem scan.tif -o m.safetensors --minutes 0",
    "adapt stem scan.tif -o m.safetensors --patch 1 --device cpu", "register scan.tif", "demo --sample no",
    "denoise holes.zarr -o out.tif --device cpu", "denoise floats.tif -o out.png --device cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    image = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    for name in ("scan.tif", "floats.tif", "noisy/a.tif", "clean/a.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_image(folder / name, image)
    write_image(folder / "other.tif", image[:32])
    write_image(folder / "volume.tif", np.stack([image] * 3), axes="ZYX")
    write_image(folder / "holes.zarr", image)
    next(path for path in folder.rglob("holes.zarr/0/c/0/0")).unlink()
    write_keras(folder / "tomogan.h5", TomoGAN(), make_config(tomogan_layers(in_channels=1), "Model"))
    with h5py.File(folder / "tomogan.h5") as file:
        assert "model_config" in file.attrs
    return folder


@pytest.mark.parametrize("command", HOSTILE)
@pytest.mark.filterwarnings("default::UserWarning")
def test_what_was_wrong_is_said_in_options(command, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    try:
        code = main([*command.split(), *(["--overwrite"] if command.startswith(("denoise", "train")) else [])])
    except SystemExit as stop:
        code = stop.code
    said = "\n".join(line for line in capsys.readouterr().err.splitlines() if "width=4" not in line)
    assert "Traceback" not in said
    assert code == 0 or said
    assert not PYTHON.findall(said), said


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("use precision='float32' (or engine='torch', slow)", "use --precision float32 (or --engine torch, slow)"),
        ("go on with it (resume=True) or not (resume=False)", "go on with it (--resume) or not (--no-resume)"),
        ("allow it: fill_missing=True", "allow it: --fill-missing"),
        ("let each plane stand alone (frames=False)", "let each plane stand alone (--frames False)"),
        ("patch must be 8", "--patch must be 8"),
        ("out= takes whole images", "out= takes whole images"),
        ("a/seed=1.tif: is empty", "a/seed=1.tif: is empty"),
        ("seed=1.tif: is empty", "seed=1.tif: is empty"),
        (
            'trained with upsampling="bilinear_tf1"',
            "trained with upsampling bilinear_tf1. Say so with 'napari-hush convert FILE OUT.safetensors --upsampling "
            "bilinear_tf1', and take the file that it makes",
        ),
    ],
)
def test_settings_become_options_and_names_of_files_stay(said, read):
    assert in_command_words(said) == read


def test_every_option_that_a_message_may_name_exists(capsys):
    found = set()
    for words in [[name] for name in COMMANDS if name != "train"] + [["train", name] for name in METHODS]:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        found |= set(re.findall(r"--([a-z][a-z-]*)", capsys.readouterr().out))
    assert {name.replace("_", "-") for name in OPTIONS} <= found
