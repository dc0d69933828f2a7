"""Model files: what is saved comes back, and what was damaged or tampered with is refused in one line."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from napari_hush import card as card_module
from napari_hush.card import FORMAT_VERSION, HEADER_KEY, ModelCard, list_models
from napari_hush.errors import InputError, ModelFileError
from napari_hush.inference.measure import is_guarded, is_slow_guarded
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.networks import NETWORKS
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def small() -> Model:
    torch.manual_seed(0)
    return Model.create("cnn", {"widths": [3, 2]}, card=ModelCard(name="small"))


@pytest.fixture
def model_file(tmp_path: Path, small: Model) -> Path:
    path = tmp_path / "small.safetensors"
    small.save(path)
    return path


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """The safetensors header and the bytes of the tensors."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(path: Path, header: dict[str, Any], data: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read_metadata(path: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(split(path)[0]["__metadata__"][HEADER_KEY])
    return metadata


def tamper(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    header, data = split(path)
    metadata = json.loads(header["__metadata__"][HEADER_KEY])
    change(metadata)
    header["__metadata__"][HEADER_KEY] = json.dumps(metadata)
    join(path, header, data)


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        Model.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_load_of_save_is_the_same_model(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(0)
    rule = NormalizationRule(method="match", low=0.1, high=99.9, target=(0.0, 255.0))
    card = ModelCard(name="a", description="b", source="c", licence="MIT", training={"d": [1]}, limits=["e"])
    saved = Model.create(architecture, {"in_channels": 2}, normalization=rule, card=card)
    saved.save(tmp_path / "model.safetensors")
    loaded = Model.load(tmp_path / "model.safetensors")
    assert (loaded.architecture, loaded.hyperparameters) == (architecture, {"in_channels": 2})
    assert (loaded.normalization, loaded.card) == (rule, card)
    for name, tensor in saved.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    image = torch.rand(1, 2, 2 * loaded.stride, 2 * loaded.stride)
    assert torch.equal(loaded.network(image), saved.network(image))
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())


def test_header_says_what_the_file_is(model_file: Path, small: Model) -> None:
    metadata = read_metadata(model_file)
    assert metadata["format"] == "napari-hush model"
    assert metadata["version"] == 1
    assert metadata["architecture"] == "cnn"
    assert metadata["hyperparameters"] == {"widths": [3, 2]}
    assert metadata["normalization"]["method"] == "percentile"
    assert metadata["card"]["name"] == "small"
    bias = small.network.state_dict()["convs.0.bias"].numpy()
    expected = hashlib.sha256(b"torch.float32 (3,)" + bias.tobytes()).hexdigest()
    assert metadata["sha256"]["convs.0.bias"] == expected


def test_model_tells_its_sizes(small: Model) -> None:
    assert (small.in_channels, small.out_channels, small.stride, small.halo) == (1, 1, 1, 3)
    assert repr(small) == f"Model('small', cnn, {small.n_parameters} parameters)"


@pytest.mark.parametrize("length", [1, 7, 8, 9, 100, 0.5, 0.9, -1])
def test_truncated_file_is_refused(model_file: Path, length: float) -> None:
    content = model_file.read_bytes()
    model_file.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    assert_refused(model_file, "truncated or damaged")


@pytest.mark.parametrize("position", [-1, -40, -200])
def test_flipped_bit_is_noticed(model_file: Path, position: int) -> None:
    content = bytearray(model_file.read_bytes())
    content[position] ^= 1
    model_file.write_bytes(content)
    assert_refused(model_file, "does not match its checksum")


def test_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    assert_refused(tmp_path / "other.safetensors", "another project")


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "future version": (r"version 3.*reads up to 2.*upgrade", lambda m: m.update(version=FORMAT_VERSION + 1)),
    "other format": ("damaged model header", lambda m: m.update(format="something else")),
    "no card": ("damaged model header", lambda m: m.pop("card")),
    "more fields": ("damaged model header", lambda m: m.update(code="import os")),
    "other architecture": (
        "do not fit the network 'tomogan'",
        lambda m: m.update(architecture="tomogan", hyperparameters={}),
    ),
    "unknown architecture": ("unknown architecture 'x'", lambda m: m.update(architecture="x")),
    "other widths": ("do not fit", lambda m: m.update(hyperparameters={"widths": [3, 3]})),
    "absurd channels": ("do not fit", lambda m: m["hyperparameters"].update(in_channels=10**9)),
    "overflowing channels": ("damaged model file", lambda m: m["hyperparameters"].update(in_channels=10**30)),
    "negative channels": ("damaged model file", lambda m: m["hyperparameters"].update(in_channels=-1)),
    "text for channels": ("damaged model file", lambda m: m["hyperparameters"].update(in_channels="many")),
    "absurd kernel": ("damaged model file", lambda m: m["hyperparameters"].update(kernel_size=10**12 + 1)),
    "a million layers": ("absurdly long", lambda m: m["hyperparameters"].update(widths=[1] * 10**6)),
    "unknown argument": ("damaged model file", lambda m: m["hyperparameters"].update(code="import os")),
    "unknown normalisation": ("damaged model file", lambda m: m["normalization"].update(method="magic")),
    "empty target": ("damaged model file", lambda m: m["normalization"].update(target=[1, 1])),
    "NaN percentile": ("damaged model file", lambda m: m["normalization"].update(low=float("nan"))),
    "checksum": ("does not match its checksum", lambda m: m["sha256"].update({"convs.0.bias": "0" * 64})),
    "one tensor less": ("not those that the header lists", lambda m: m["sha256"].pop("convs.0.bias")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_tampered_header_is_refused(model_file: Path, case: str) -> None:
    message, change = CHANGES[case]
    tamper(model_file, change)
    assert_refused(model_file, message)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, '{"version": "new"}', "1" * 5_000])
def test_header_that_is_no_header_is_refused(model_file: Path, text: str) -> None:
    header, data = split(model_file)
    header["__metadata__"][HEADER_KEY] = text
    join(model_file, header, data)
    assert_refused(model_file, "damaged model header")


def test_tampered_shape_is_refused(model_file: Path) -> None:
    header, data = split(model_file)
    header["convs.0.weight"]["shape"].reverse()
    join(model_file, header, data)
    assert_refused(model_file, "does not match its checksum")
    header["convs.0.weight"]["shape"] = [1 << 60, 1 << 60]
    join(model_file, header, data)
    assert_refused(model_file, "truncated or damaged")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_tensor_of_a_foreign_kind_is_refused(tmp_path: Path, small: Model, dtype: torch.dtype) -> None:
    small.network.convs[0].bias = torch.nn.Parameter(torch.zeros(3).to(dtype), requires_grad=False)
    small.save(tmp_path / "foreign.safetensors")
    assert_refused(tmp_path / "foreign.safetensors", "not made of finite floats")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, small: Model, value: float) -> None:
    small.network.convs[0].bias[0] = value
    small.save(tmp_path / "diverged.safetensors")
    assert_refused(tmp_path / "diverged.safetensors", "not made of finite floats")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_loaded_as_float32(tmp_path: Path, small: Model, dtype: torch.dtype) -> None:
    expected = small.network.convs[0].weight.to(dtype).float()
    small.network.to(dtype)
    small.save(tmp_path / "precise.safetensors")
    assert torch.equal(Model.load(tmp_path / "precise.safetensors").network.convs[0].weight, expected)


def test_half_precision_halves_the_file_and_computes_in_single(tmp_path: Path) -> None:
    model = Model.create("unet", {"width": 8, "levels": 2})
    expected = {name: weight.half().float() for name, weight in model.network.state_dict().items()}
    model.save(tmp_path / "single.safetensors")
    model.save(tmp_path / "half.safetensors", half=True)
    single, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("single", "half"))
    assert half < single - 1.9 * model.n_parameters
    loaded = Model.load(tmp_path / "half.safetensors").network.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_file_says_whether_its_model_is_guarded(tmp_path: Path, small: Model) -> None:
    replace(small, guard=False).save(tmp_path / "small.safetensors")
    model = Model.load(tmp_path / "small.safetensors")
    assert (small.guard, model.guard) == (True, False)
    settings = [DenoiseSettings(guard=g) for g in ("auto", True, False)]
    assert [is_guarded(m, s) for m in (small, model) for s in settings] == [True, True, False, True, True, False]
    assert [is_slow_guarded(m, s) for m in (small, model) for s in settings[:2]] == [True, True, False, True]


def test_weights_beyond_half_precision_are_refused_in_half_only(tmp_path: Path, small: Model) -> None:
    small.network.convs[0].bias[0] = 1e5
    with pytest.raises(InputError, match=r"convs\.0\.bias.*save with half=False"):
        small.save(tmp_path / "large.safetensors", half=True)
    assert list(tmp_path.iterdir()) == []
    small.save(tmp_path / "large.safetensors")


def test_wrong_suffix_and_missing_folder_are_refused(tmp_path: Path, small: Model) -> None:
    with pytest.raises(InputError, match=r"ends in \.safetensors, got 'small\.pth'"):
        small.save(tmp_path / "small.pth")
    with pytest.raises(InputError, match=r"folder .* does not exist"):
        small.save(tmp_path / "absent" / "small.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(
    model_file: Path, small: Model, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = model_file.read_bytes()
    monkeypatch.setattr(f"napari_hush.files.os.{call}", fail)
    with pytest.raises(OSError, match="No space left"):
        small.save(model_file)
    monkeypatch.undo()
    assert model_file.read_bytes() == before
    assert list(model_file.parent.iterdir()) == [model_file]


def test_saving_replaces_the_old_file(model_file: Path) -> None:
    Model.create("cnn", {"widths": [2]}, card=ModelCard(name="new")).save(model_file)
    assert Model.load(model_file).card.name == "new"
    assert list(model_file.parent.iterdir()) == [model_file]


def test_unknown_architecture_is_refused(small: Model) -> None:
    with pytest.raises(InputError, match="unknown architecture 'x'"):
        Model.create("x")
    with pytest.raises(InputError, match=r"this version knows cnn, .*graph"):
        Model(small.network, "x")


def test_bundled_models_are_listed(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "ZOO", model_file.parent)
    assert [card.name for card in list_models()] == ["small"]
