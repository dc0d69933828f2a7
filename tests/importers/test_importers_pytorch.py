"""PyTorch checkpoints as people have them: old, wrapped, nested, half precise, with their options beside them."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from cyclegan_reference import make_reference
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.registry import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.model import Model

OPTIONS = """----------------- Options ---------------
             checkpoints_dir: /home/jane/secret
                   crop_size: 64                            \t[default: 256]
                    dataroot: /home/jane/data
                   direction: AtoB
                    input_nc: 1                             \t[default: 3]
                   lambda_A: 10.0
                    n_epochs: 100
                        name: stem_cyclegan                 \t[default: experiment_name]
                        netG: resnet_1blocks                \t[default: resnet_9blocks]
                         ngf: 2                             \t[default: 64]
                  no_dropout: True
                        norm: instance
                   output_nc: 1                             \t[default: 3]
                  preprocess: none                          \t[default: resize_and_crop]
----------------- End -------------------
"""


def state_of(kind: str = "resnet_1blocks", **settings: Any) -> dict[str, torch.Tensor]:
    return make_reference(kind, **settings).state_dict()


def save(path: Path, content: Any, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_holds(model: Model, expected: dict[str, torch.Tensor], *, atol: float = 0.0) -> None:
    found = model.network.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor.to(found[name].dtype), rtol=0, atol=atol)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["resnet_1blocks", "unet_32"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_both_file_formats_are_read(tmp_path: Path, kind: str, norm: str, legacy: bool) -> None:
    state = state_of(kind, norm=norm)
    path = save(tmp_path / "latest_net_G_A.pth", state, legacy=legacy)
    before = path.read_bytes()
    assert_holds(load_model(path), state)
    assert path.read_bytes() == before


def test_file_of_python_2_is_read(tmp_path: Path) -> None:
    state = state_of()
    path = save(tmp_path / "latest_net_G.pth", state, legacy=True)
    content = path.read_bytes()
    texts = re.sub(rb"X([\x01-\xff])\x00\x00\x00(?=[ -~])", rb"U\1", content)  # unicode there, bytes then
    assert len(texts) < len(content)
    path.write_bytes(texts)
    assert_holds(load_model(path), state)


def test_file_saved_on_a_gpu_is_read(tmp_path: Path) -> None:
    state = state_of()
    path = save(tmp_path / "latest_net_G.pth", state, legacy=True)
    content = path.read_bytes().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    path.write_bytes(content)
    assert_holds(load_model(path), state)
    path.write_bytes(content.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage"))  # before PyTorch 1.6
    assert_holds(load_model(path), state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.module."])
@pytest.mark.parametrize("kind", ["resnet_1blocks", "unet_32"])
def test_wrapped_network_is_read(tmp_path: Path, kind: str, prefix: str) -> None:
    state = state_of(kind)
    path = save(tmp_path / "G.pth", {prefix + name: tensor for name, tensor in state.items()})
    assert_holds(load_model(path), state)


@pytest.mark.parametrize("kind", ["resnet_1blocks", "unet_32"])
def test_buffers_of_old_instance_norms_are_dropped(tmp_path: Path, kind: str) -> None:
    network = make_reference(kind)
    state = network.state_dict()
    with_buffers = OrderedDict(state)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.InstanceNorm2d):
            with_buffers[f"{name}.running_mean"] = torch.zeros(module.num_features)
            with_buffers[f"{name}.running_var"] = torch.ones(module.num_features)
            with_buffers[f"{name}.num_batches_tracked"] = torch.tensor(7)
    assert len(with_buffers) > len(state)
    assert_holds(load_model(save(tmp_path / "G.pth", with_buffers)), state)


def test_batch_norm_without_counters_is_read(tmp_path: Path) -> None:
    state = state_of(norm="batch")
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    model = load_model(save(tmp_path / "G.pth", old))
    assert_holds(model, state)
    assert any("--eval" in limit for limit in model.card.limits)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 0.0)])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype, tolerance: float) -> None:
    state = state_of()
    model = load_model(save(tmp_path / "G.pth", {name: tensor.to(dtype) for name, tensor in state.items()}))
    assert {tensor.dtype for tensor in model.network.state_dict().values()} == {torch.float32}
    assert_holds(model, state, atol=tolerance)


def test_parameters_channels_last_and_shared_storages_are_read(tmp_path: Path) -> None:
    network = make_reference("resnet_1blocks")
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert_holds(load_model(save(tmp_path / "parameters.pth", dict(network.named_parameters()))), state)
    channels_last = network.to(memory_format=torch.channels_last).state_dict()
    assert_holds(load_model(save(tmp_path / "last.pth", channels_last)), state)
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    parts = flat.split([tensor.numel() for tensor in state.values()])
    views = {name: part.view(tensor.shape) for (name, tensor), part in zip(state.items(), parts, strict=True)}
    assert_holds(load_model(save(tmp_path / "views.pth", views)), state)
    assert_holds(load_model(save(tmp_path / "views_legacy.pth", views, legacy=True)), state)


DISCRIMINATOR = {"model.0.weight": torch.zeros(2, 1, 4, 4), "model.0.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda g: {"state_dict": g},
        lambda g: {"model_state_dict": g, "epoch": 3, "lr": 2e-4, "note": "best", "shape": torch.Size([1, 2])},
        lambda g: {"netG": g, "netD": DISCRIMINATOR, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{}]}},
        lambda g: {"generator": g, "random": torch.zeros(4, dtype=torch.uint8), "dtype": torch.float32},
        lambda g: {"params": {"module." + name: tensor for name, tensor in g.items()}},
        lambda g: {"models": {"G": g, "D": DISCRIMINATOR}},
    ],
)
def test_only_generator_of_a_training_checkpoint_is_read(tmp_path: Path, wrap: Any) -> None:
    state = state_of()
    assert_holds(load_model(save(tmp_path / "checkpoint.pth", wrap(state))), state)


def test_one_of_several_generators_is_chosen(tmp_path: Path) -> None:
    a, b = state_of(seed=1), state_of("unet_32", seed=2)
    path = save(tmp_path / "checkpoint.pth", {"netG_A": a, "netG_B": b, "netD_A": DISCRIMINATOR})
    with pytest.raises(ModelFileError, match=r'several generators \(netG_A, netG_B\).*entry="netG_A"'):
        load_model(path)
    model = load_model(path, entry="netG_B")
    assert_holds(model, b)
    assert "B to A" in model.card.description
    assert "entry netG_B" in model.card.source
    with pytest.raises(InputError, match="no generator 'netD_A' in the file; it has netG_A, netG_B"):
        load_model(path, entry="netD_A")
    with pytest.raises(InputError, match="got int"):
        load_model(path, entry=3)
    with pytest.raises(InputError, match="leave out entry='netG_A'"):
        load_model(save(tmp_path / "G.pth", a), entry="netG_A")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("latest_net_G_A.pth", "domain A to B"),
        ("40_net_G_B.pth", "domain B to A"),
        ("iter_5000_net_G.pth", "input of its training to the target"),
        ("weights.pth", "does not say what it maps"),
    ],
)
def test_card_tells_what_is_known(tmp_path: Path, name: str, said: str) -> None:
    path = save(tmp_path / name, state_of())
    card = load_model(path).card
    assert card.name == path.stem
    assert said in card.description
    assert "ResNet generator of CycleGAN or pix2pix (resnet_1blocks, normalisation: instance)" in card.description
    assert card.source == f"{name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert card.licence == "unknown"
    assert card.training == {}
    assert "0.1 and 99.9 percentiles to -1 and 1" in card.limits[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_file_name_that_is_no_text_can_be_saved_again(tmp_path: Path) -> None:
    path = save(tmp_path / os.fsdecode(b"caf\xe9_net_G_A.pth"), state_of())
    model = load_model(path)
    assert model.card.name == "caf?_net_G_A"
    model.save(tmp_path / "cafe.safetensors")


def test_imported_model_can_be_saved(tmp_path: Path) -> None:
    (tmp_path / "train_opt.txt").write_text(OPTIONS)
    state = state_of()
    for options in ({}, {"value_range": (0, 255)}):
        model = load_model(save(tmp_path / "latest_net_G_A.pth", state), **options)
        model.save(tmp_path / "mine.safetensors")
        again = load_model(tmp_path / "mine.safetensors")
        assert_holds(again, state)
        assert (again.normalization, again.card) == (model.normalization, model.card)
        assert again.hyperparameters == model.hyperparameters


def test_percentiles_are_mapped_and_the_rest_is_clipped(tmp_path: Path) -> None:
    path = save(tmp_path / "G.pth", state_of())
    image = np.arange(10_001, dtype=np.float32).reshape(73, 137)
    image[3, 4] = 1e9
    rule = load_model(path, percentiles=(1, 99)).normalization
    norm = rule.fit(lambda: [image])
    values = norm.apply(image)
    assert (values.min(), values.max()) == (-1, 1)
    np.testing.assert_allclose(norm.apply(np.array([100.0, 9900.0])), [-1, 1], atol=1e-3)
    np.testing.assert_allclose(norm.invert(norm.apply(np.array([5000.0]))), [5000], rtol=1e-5)


def test_fixed_range_is_that_of_8_bit_images(tmp_path: Path) -> None:
    rule = load_model(save(tmp_path / "G.pth", state_of()), value_range=(0, 255)).normalization
    image = np.array([[3, 200], [100, 90]], np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        norm = rule.fit(lambda: [image])
    np.testing.assert_allclose(norm.apply(image), image / 127.5 - 1, atol=1e-6)
    with pytest.warns(UserWarning, match="values from 0 to 255, but the image's run from 3 to 60000"):
        rule.fit(lambda: [np.array([3.0, 60000.0])])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"percentiles": (99, 1)}, r"percentiles=\(99, 1\): expected two increasing numbers"),
        ({"percentiles": (0, 101)}, "0 <= low < high <= 100"),
        ({"percentiles": 5}, "percentiles=5: expected two increasing numbers"),
        ({"percentiles": (1, 2, 3)}, "expected two increasing numbers"),
        ({"percentiles": ("a", "b")}, "expected two increasing numbers"),
        ({"percentiles": (float("nan"), 99)}, "expected two increasing numbers"),
        ({"value_range": (255, 0)}, r"value_range=\(255, 0\): expected two increasing numbers"),
        ({"value_range": (0, float("inf"))}, "finite, increasing pair"),
        ({"value_range": "0-255"}, "value_range=0-255: expected two"),
        ({"upsampling": "file"}, "pytorch importer takes entry, percentiles, value_range; got upsampling"),
    ],
)
def test_wrong_option_says_what_is_accepted(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "G.pth", state_of())
    with pytest.raises(InputError, match=message) as caught:
        load_model(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train_opt.txt", "test_opt.txt", "opt.txt"])
def test_options_beside_the_file_go_to_the_card(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(OPTIONS)
    options = load_model(save(tmp_path / "latest_net_G_A.pth", state_of())).card.training["options"]
    assert options["name"] == "stem_cyclegan"
    assert options["crop_size"] == "64"
    assert "lambda_A" in options
    assert "jane" not in str(options)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("resnet_1blocks", "resnet_9blocks", "netG is resnet_1blocks, not resnet_9blocks"),
        ("norm: instance", "norm: batch", "norm is instance, not batch"),
        ("no_dropout: True", "no_dropout: False", "no_dropout is True, not False"),
        ("input_nc: 1", "input_nc: 3", "input_nc is 1, not 3"),
        ("netG: resnet_1blocks", "which_model_netG: unet_256", "which_model_netG is resnet_1blocks, not unet_256"),
    ],
)
def test_options_that_contradict_the_weights_warn(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in OPTIONS
    (tmp_path / "train_opt.txt").write_text(OPTIONS.replace(before, after))
    path = save(tmp_path / "latest_net_G_A.pth", state_of())
    with pytest.warns(UserWarning, match=f"train_opt.txt beside latest_net_G_A.pth contradicts.*{message}$") as caught:
        load_model(path)
    assert caught[0].filename == __file__


def test_options_of_the_way_back_are_swapped(tmp_path: Path) -> None:
    (tmp_path / "train_opt.txt").write_text(OPTIONS.replace("output_nc: 1", "output_nc: 3"))
    load_model(save(tmp_path / "latest_net_G_A.pth", state_of(inputs=1, outputs=3)))
    load_model(save(tmp_path / "latest_net_G_B.pth", state_of(inputs=3, outputs=1)))
    (tmp_path / "train_opt.txt").write_text(OPTIONS.replace("norm: instance", "norm: syncbatch"))
    load_model(save(tmp_path / "latest_net_G_A.pth", state_of(norm="batch")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 1000,
        b"name: " + b" " * (1 << 20) + b"x",
        b"netG:\nnorm: \n : \nname",
        b"x" * (1 << 17),
    ],
)
def test_options_that_are_nonsense_are_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train_opt.txt").write_bytes(content)
    (tmp_path / "opt.txt").mkdir()
    assert load_model(save(tmp_path / "G.pth", state_of())).card.training == {}


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    state = state_of()
    for name in ("model.h5", "model.safetensors", "model"):
        assert_holds(load_model(save(tmp_path / name, state)), state)
    assert_holds(load_model(save(tmp_path / "legacy.safetensors", state, legacy=True)), state)
