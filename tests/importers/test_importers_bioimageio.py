"""BioImage.IO packages: those of others are read where the network is known, hostile ones are refused in one line."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml

from napari_hush.errors import ModelFileError
from napari_hush.importers.bioimageio_yaml import read_yaml
from napari_hush.importers.registry import load_model
from napari_hush.importers.sniff import is_bioimageio
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

YAML = "bioimageio.yaml"
ARGUMENTS = {"widths": [3, 2]}
SCALE = {"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"], "min_percentile": 2.0, "max_percentile": 98.0}}
TO_MINUS_ONE = {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": -1.0}}
CLIP = {"id": "clip", "kwargs": {"min": -1.0, "max": 1.0}}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return Model.create("cnn", ARGUMENTS).network


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


WEIGHTS = saved(network().state_dict())


def describe(weights: bytes = WEIGHTS) -> dict[str, Any]:
    """The description of a package that another program made."""
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": "A denoiser",
        "description": "Of someone",
        "license": "CC-BY-4.0",
        "cite": [{"text": "A paper", "doi": "10.1000/xyz123"}],
        "timestamp": "2024-01-01T00:00:00",
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["a"]}],
                "preprocessing": [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, SCALE],
            }
        ],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt",
                "sha256": hashlib.sha256(weights).hexdigest(),
                "architecture": {"source": "cnn.py", "callable": "CNN", "kwargs": ARGUMENTS},
            }
        },
    }


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def package(
    change: Callable[[dict[str, Any]], Any] = lambda _: None, *, weights: bytes = WEIGHTS, text: bytes | None = None
) -> bytes:
    """A package whose description was changed, or is another text altogether."""
    description = copy.deepcopy(describe(weights))
    change(description)
    return zipped({YAML: text or yaml.safe_dump(description).encode(), "weights.pt": weights, "cnn.py": b"1 / 0"})


def entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["weights"]["pytorch_state_dict"].update(changes)


def architecture(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["weights"]["pytorch_state_dict"]["architecture"].update(changes)


def inputs(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["inputs"][0].update(changes)


def header(**changes: Any) -> Callable[[dict[str, Any]], None]:
    content = {
        "format": "napari-hush model",
        "version": 1,
        "architecture": "cnn",
        "hyperparameters": ARGUMENTS,
        "normalization": {"method": "identity"},
        "card": {"name": "ours"},
        "sha256": {},
    }
    return lambda d: d.update(config={"napari_hush": content | changes})


def only(*formats: str) -> Callable[[dict[str, Any]], None]:
    return lambda d: d.update(weights={name: {"source": "weights.pt"} for name in formats})


def only_bad_onnx(description: dict[str, Any]) -> None:
    only("onnx")(description)
    axes = [{"type": "batch"}, {"type": "channel"}, {"type": "space", "id": "y"}, {"type": "space", "id": "x"}]
    description["inputs"][0]["axes"] = axes
    description["outputs"] = [{"id": "clean", "axes": copy.deepcopy(axes)}]  # the same would be an alias


def changed_state(**changes: Any) -> bytes:
    return saved(network().state_dict() | {name.replace("__", "."): value for name, value in changes.items()})


def twice() -> bytes:
    with (
        zipfile.ZipFile(buffer := io.BytesIO(package()), "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("weights.pt", b"other")
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(package())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        position = -1
        while (position := content.find(mark, position + 1)) >= 0:
            content[position + offset] |= 1
    return bytes(content)


def flipped() -> bytes:
    content = bytearray(zipped({YAML: yaml.safe_dump(describe()).encode(), "weights.pt": WEIGHTS}, zipfile.ZIP_STORED))
    content[content.find(WEIGHTS) + len(WEIGHTS) // 2] ^= 1
    return bytes(content)


def bomb() -> bytes:
    zeros = bytes(40_000_000)
    text = yaml.safe_dump(describe(zeros)).encode()
    return zipped({YAML: text, "weights.pt": zeros})


LOL = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "truncated": ("truncated or damaged zip", lambda: package()[:-200]),
    "flipped bit": ("damaged zip archive", flipped),
    "encrypted": ("is encrypted", encrypted),
    "two members of one name": ("two members have one name", twice),
    "packed by another method": (
        "packed by method 12",
        lambda: zipped({YAML: yaml.safe_dump(describe()).encode()}, zipfile.ZIP_BZIP2),
    ),
    "bomb of weights": ("which no weights do", bomb),
    "bomb of a description": ("expected at most 524,288", lambda: package(text=b"a" * 600_000)),
    "no weights in it": ("'weights.pt' are missing", lambda: zipped({YAML: yaml.safe_dump(describe()).encode()})),
    "path above": ("outside of the package", lambda: package(entry(source="../../weights.pt"))),
    "absolute path": ("outside of the package", lambda: package(entry(source="/etc/passwd"))),
    "path of Windows": ("outside of the package", lambda: package(entry(source="C:\\weights.pt"))),
    "weights on the net": ("nothing is downloaded", lambda: package(entry(source="https://example.com/w.pt"))),
    "file address": ("nothing is downloaded", lambda: package(entry(source="file:///etc/passwd"))),
    "source is a list": ("a str under 'source', but has a list", lambda: package(entry(source=["weights.pt"]))),
    "other checksum": ("SHA-256 is", lambda: package(entry(sha256="0" * 64))),
    "checksum is a number": ("SHA-256 is", lambda: package(entry(sha256=1))),
    "TorchScript alone": ("holds no pytorch_state_dict .*: it has torchscript", lambda: package(only("torchscript"))),
    "Keras alone": ("it has keras_hdf5, keras_v3", lambda: package(only("keras_hdf5", "keras_v3"))),
    "ONNX alone without outputs": ("should have a list under 'outputs'", lambda: package(only("onnx"))),
    "ONNX alone that is none": ("truncated or damaged ONNX file", lambda: package(only_bad_onnx)),
    "network of a library": (
        r"'UNet' of careamics\.models\.unet, expected a network known here: .*its own code is not run",
        lambda: package(architecture(callable="UNet", import_from="careamics.models.unet")),
    ),
    "no kind of weights": ("it has no weights", lambda: package(only())),
    "other network": (
        r"state_dict of 'UNet3D', expected a network known here: .*TomoGAN.*; its own code is not run",
        lambda: package(architecture(callable="UNet3D")),
    ),
    "architecture of old": (
        "state_dict of 'a:B', expected a network known here",
        lambda: package(entry(architecture="a:B")),
    ),
    "nested arguments": ("arguments of CNN are not named", lambda: package(architecture(kwargs=[1]))),
    "unknown argument": ("unexpected keyword", lambda: package(architecture(kwargs={"magic": 1}))),
    "impossible argument": ("positive widths", lambda: package(architecture(kwargs={"widths": [-1]}))),
    "huge arguments": ("do not fit the network", lambda: package(architecture(kwargs={"widths": [10**6, 10**6]}))),
    "endless arguments": ("more than 8,000 values", lambda: package(architecture(kwargs={"widths": [1] * 9999}))),
    "a giant": (
        "1 to 64 blocks",
        lambda: package(architecture(callable="CycleGANResNet", kwargs={"blocks": 10**9})),
    ),
    "other shape": ("do not fit the network", lambda: package(architecture(kwargs={"widths": [3, 3]}))),
    "NaN": ("finite floats", lambda: package(weights=changed_state(convs__0__bias=torch.full((3,), torch.nan)))),
    "integers": ("finite floats", lambda: package(weights=changed_state(convs__0__bias=torch.zeros(3).int()))),
    "one more tensor": ("do not fit", lambda: package(weights=changed_state(more=torch.zeros(1)))),
    "a tensor alone": ("no plain dict of names", lambda: package(weights=saved(torch.zeros(3)))),
    "a training checkpoint": ("no plain dict", lambda: package(weights=saved({"state": network().state_dict()}))),
    "weights of another kind": ("a Python pickle, but none|cannot read|damaged", lambda: package(weights=b"weights")),
    "aliases": ("YAML aliases", lambda: package(text=LOL.encode())),
    "deep nesting": ("nested more than 40", lambda: package(text=b"a: " + b"[" * 100_000)),
    "deep blocks": (
        "nested more than 40",
        lambda: package(text="".join(" " * n + "a:\n" for n in range(400)).encode()),
    ),
    "no YAML": ("no valid YAML", lambda: package(text=b"a: [1, 2")),
    "control characters": ("no valid YAML", lambda: package(text=b"a: \x07")),
    "no text": ("no valid YAML", lambda: package(text=b"\xff\xfe\xff")),
    "wrong date": ("no valid YAML", lambda: package(text=b"a: !!timestamp soon")),
    "endless number": ("a number that no model needs", lambda: package(text=b"a: " + b"9" * 100_000)),
    "list as a key": ("more than plain values", lambda: package(text=b"? [a]\n: b")),
    "a list": ("is a list, expected a mapping", lambda: package(text=b"- a")),
    "empty": ("is a NoneType, expected a mapping", lambda: package(text=b"# nothing")),
    "a dataset": ("of type 'dataset', expected 'model'", lambda: package(lambda d: d.update(type="dataset"))),
    "old format": (
        "of format 0.3.6, this version reads 0.4 and 0.5",
        lambda: package(lambda d: d.update(format_version="0.3.6")),
    ),
    "no weights at all": ("a dict under 'weights', but has nothing", lambda: package(lambda d: d.pop("weights"))),
    "weights are a list": ("but has a list", lambda: package(lambda d: d.update(weights=[1]))),
    "two inputs": ("has 2 inputs", lambda: package(lambda d: d.update(inputs=[{}, {}]))),
    "no inputs": ("a list under 'inputs'", lambda: package(lambda d: d.pop("inputs"))),
    "preprocessing of another kind": ("is a str, expected a list", lambda: package(inputs(preprocessing="all"))),
    "unknown preprocessing": (
        "'sigmoid' cannot be expressed",
        lambda: package(inputs(preprocessing=[{"id": "sigmoid"}])),
    ),
    "code as preprocessing": (
        "'custom' cannot be expressed",
        lambda: package(inputs(preprocessing=[{"id": "custom", "source": "cnn.py", "callable": "f"}])),
    ),
    "unknown option": (
        "reference_tensor",
        lambda: package(inputs(preprocessing=[{"id": "scale_range", "kwargs": {"reference_tensor": "x"}}])),
    ),
    "preprocessing twice": ("in this order", lambda: package(inputs(preprocessing=[SCALE, copy.deepcopy(SCALE)]))),
    "numbers per channel": (
        "with single numbers",
        lambda: package(inputs(preprocessing=[{"id": "scale_linear", "kwargs": {"gain": [1, 2]}}])),
    ),
    "every channel by itself": (
        "every channel by itself",
        lambda: package(
            inputs(
                preprocessing=[{"id": "scale_range", "kwargs": {"axes": ["y", "x"]}}],
                axes=[{"type": "channel", "channel_names": ["a", "b"]}],
            )
        ),
    ),
    "inverted contrast": (
        "positive gain",
        lambda: package(inputs(preprocessing=[{"id": "scale_linear", "kwargs": {"gain": -1.0}}])),
    ),
    "clipped elsewhere": ("expected the ends of the range", lambda: package(inputs(preprocessing=[SCALE, CLIP]))),
    "impossible percentiles": (
        "percentiles must satisfy",
        lambda: package(
            inputs(preprocessing=[{"id": "scale_range", "kwargs": {"min_percentile": 99, "max_percentile": 2}}])
        ),
    ),
    "newer header": ("made by a newer napari-hush", lambda: package(header(version=3))),
    "damaged header": ("damaged description", lambda: package(header(card={"name": ""}))),
    "header of text": ("damaged description", lambda: package(lambda d: d.update(config={"napari_hush": "x"}))),
    "two networks": ("describes two networks", lambda: package(header(architecture="tomogan"))),
    "two sets of arguments": ("two sets of arguments", lambda: package(header(hyperparameters={"widths": [9]}))),
    "unknown rule": ("damaged description", lambda: package(header(normalization={"method": "magic"}))),
}


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < 700
    assert "weights_only" not in text


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_package_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    if case.startswith("ONNX alone"):
        pytest.importorskip("onnx")
    message, make = HOSTILE[case]
    path = tmp_path / "package.zip"
    path.write_bytes(make())
    assert_refused(path, message)
    assert list(tmp_path.iterdir()) == [path]


class Payload:
    """What a malicious pickle does."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_code_in_the_weights_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    weights = saved({"a": Payload(f"echo > {marker}")})
    with zipfile.ZipFile(io.BytesIO(weights)) as archive:
        pickle.loads(archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))))
    assert marker.exists()  # the attack is alive
    marker.unlink()
    path = tmp_path / "package.zip"
    path.write_bytes(package(weights=weights))
    assert_refused(path, "would run code when loaded")
    assert not marker.exists()


def test_code_in_the_description_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    text = f"type: !!python/object/apply:os.system ['echo > {marker}']\n"
    yaml.unsafe_load(text)
    assert marker.exists()  # the attack is alive
    marker.unlink()
    path = tmp_path / "package.zip"
    path.write_bytes(package(text=text.encode()))
    assert_refused(path, "more than plain values .*; nothing was run")
    assert not marker.exists()


def test_package_of_others_is_read(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(package())  # its cnn.py would fail if it were run
    model = load_model(path)
    assert (model.architecture, model.hyperparameters) == ("cnn", ARGUMENTS)
    assert model.normalization == NormalizationRule(low=2, high=98)
    assert (model.card.name, model.card.licence) == ("A denoiser", "CC-BY-4.0")
    assert "10.1000/xyz123" in model.card.source
    expected = network().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.network.state_dict().items())


def test_our_header_wins_over_what_the_format_says(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(package(header()))
    model = load_model(path)
    assert model.normalization == NormalizationRule(method="identity")
    assert model.card.name == "ours"


@pytest.mark.parametrize("name", ["bioimageio.yaml", "rdf.yaml"])
def test_both_names_of_the_description_are_known(tmp_path: Path, name: str) -> None:
    path = tmp_path / "package"
    path.write_bytes(zipped({name: yaml.safe_dump(describe()).encode(), "weights.pt": WEIGHTS}))
    assert load_model(path).architecture == "cnn"


def test_other_archives_are_not_taken_for_packages(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for content in (zipped({"a/bioimageio.yaml": b""}), WEIGHTS, b"PK\x03\x04", b""):
        path.write_bytes(content)
        assert not is_bioimageio(path, content[:64])


@pytest.mark.parametrize(
    ("operations", "rule"),
    [
        ([], NormalizationRule(method="identity")),
        ([{"id": "scale_range"}], NormalizationRule(low=0, high=100)),
        ([SCALE, TO_MINUS_ONE, CLIP], NormalizationRule(low=2, high=98, target=(-1, 1), clip=True)),
        ([{"id": "zero_mean_unit_variance"}], NormalizationRule(method="standard", target=(-1, 1))),
        (
            [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 60.0, "std": 20.0}}],
            NormalizationRule(method="range", source=(-140, 260), target=(-10, 10)),
        ),
        (
            [{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [60], "std": [20], "axis": "channel"}}],
            NormalizationRule(method="range", source=(-140, 260), target=(-10, 10)),
        ),
        ([TO_MINUS_ONE], NormalizationRule(method="range", source=(0.5, 1.0), target=(0, 1))),
        ([TO_MINUS_ONE, CLIP], NormalizationRule(method="range", source=(0, 1), target=(-1, 1), clip=True)),
        ([CLIP], NormalizationRule(method="range", source=(-1, 1), target=(-1, 1), clip=True)),
    ],
)
def test_preprocessing_becomes_a_rule(tmp_path: Path, operations: list[Any], rule: NormalizationRule) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(package(inputs(preprocessing=operations)))
    assert load_model(path).normalization == rule


@pytest.mark.parametrize(("stated", "target"), [([0, 255], (0, 255)), ([0, float("inf")], (0, 1)), ("all", (0, 1))])
def test_stated_range_is_believed_where_nothing_is_mapped(tmp_path: Path, stated: Any, target: tuple[int, int]) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(package(inputs(preprocessing=[], data={"type": "float32", "range": stated})))
    assert load_model(path).normalization == NormalizationRule(method="identity", target=target)


@pytest.mark.parametrize(
    "bomb",
    [
        b"<<: [" + b"{a: 1}," * 40_000 + b"]\n",
        b"a: {<<: {b: 1}}\n",
        b"a: " + b"59:" * 100_000 + b"59\n",
        b"a: " + b"1:" * 100_000 + b"1.5\n",
        b"a: 0b" + b"1" * 400_000 + b"\n",
        b"a: 0x" + b"f" * 400_000 + b"\n",
        b"a: [" + b"1," * 200_000 + b"1]\n",
        b"a: 2001-01-01\n" * 20_000,
    ],
    ids=["merged", "merged once", "sexagesimal", "sexagesimal float", "binary", "hexadecimal", "list", "dates"],
)
def test_descriptions_that_take_long_are_refused_at_once(bomb):
    began = time.process_time()
    with pytest.raises(ModelFileError, match="its description"):
        read_yaml(bomb)
    assert time.process_time() - began < 2
