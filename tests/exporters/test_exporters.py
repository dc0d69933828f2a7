"""Exported models: the same network elsewhere, nothing lost on the way, and nothing written when something is wrong."""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml

from napari_hush.card import HEADER_KEY, Header, ModelCard, Scale
from napari_hush.errors import InputError
from napari_hush.exporters import EXPORTERS, bioimageio, export
from napari_hush.exporters import onnx as onnx_exporter
from napari_hush.exporters.bioimageio import _describe_tensors
from napari_hush.exporters.describe import explain_rule, find_citations, write_documentation
from napari_hush.exporters.preprocess import apply, to_operations
from napari_hush.importers.registry import load_model
from napari_hush.model import Model
from napari_hush.networks import NETWORKS
from napari_hush.networks.tomogan import Upsampling, upsample
from napari_hush.normalize import NormalizationRule
from small_networks import SMALL

pytestmark = pytest.mark.slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CARD = ModelCard(
    name="a small one",
    description="Says é.",
    source="doi 10.1000/xyz123",
    licence="CC-BY-4.0",
    training={"steps": 3, "rate": 1e-05, "nested": {"a": [1, 2.5, None]}},
    metrics={"psnr": 31.5, "table": "| a |\n|---|\n| 1 |", "by_dose": {"2": {"mean": 0.1}}},
    limits=["no: 1.0"],
)
RULES = {
    "percentile": NormalizationRule(low=0.5, high=99.5),
    "clipped": NormalizationRule(low=0.1, high=99.9, target=(-1.0, 1.0), clip=True),
    "match": NormalizationRule(method="match", low=0.1, high=99.9, target=(0.0, 255.0)),
    "identity": NormalizationRule(method="identity", target=(0.0, 255.0)),
    "range": NormalizationRule(method="range", source=(0.0, 255.0), target=(-1.0, 1.0), clip=True),
}
# what grows with the number of levels is the time of the export alone
ARGUMENTS: dict[str, dict[str, Any]] = {**SMALL, "unet": {"width": 4, "levels": 2}}


def make(architecture: str = "cnn", **hyperparameters: Any) -> Model:
    """A small model with weights that are not those of the beginning, some of which are zero."""
    torch.manual_seed(0)
    arguments = json.loads(json.dumps(hyperparameters))
    model = Model.create(architecture, arguments, card=CARD, normalization=RULES["percentile"])
    for parameter in model.network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@functools.cache
def exported(architecture: str, arguments: str) -> bytes:
    return onnx_exporter.to_onnx(make(architecture, **json.loads(arguments)))


def exported_cnn(_model: Model | None = None) -> bytes:
    return exported("cnn", json.dumps({"widths": [2]}))


@pytest.fixture
def small() -> Model:
    return make(widths=[2])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export one network to ONNX alone, for what does not depend on it."""
    pytest.importorskip("bioimageio.spec")
    monkeypatch.setattr(bioimageio, "to_onnx", exported_cnn)


def read_package(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return yaml.safe_load(files["bioimageio.yaml"]), files


# --- ONNX


@pytest.mark.parametrize("architecture", NETWORKS)
def test_onnx_equals_torch(architecture: str) -> None:
    arguments = ARGUMENTS.get(architecture, {})
    model = make(architecture, **arguments)
    stride = model.stride
    session = onnxruntime.InferenceSession(exported(architecture, json.dumps(arguments)))
    rng = np.random.default_rng(1)
    few = max(1, 16 // stride)
    for batch in (1, 3):
        for y, x in [(2 * few, 2 * few), (3 * few, 2 * few), (2 * few, 5 * few)]:
            image = rng.uniform(0, 1, (batch, model.in_channels, y * stride, x * stride)).astype(np.float32)
            found = session.run(["denoised"], {"noisy": image})[0]
            expected = model.network(torch.from_numpy(image)).numpy()
            assert found.shape == expected.shape
            assert found.dtype == np.float32
            assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_onnx_of_every_upsampling_equals_torch() -> None:
    class Ways(torch.nn.Module):
        stride, in_channels = 2, 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([upsample(x, mode) for mode in get_args(Upsampling)], dim=1)

    proto = onnx_exporter._trace(Ways(), Ways())  # type: ignore[arg-type]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    image = np.random.default_rng(0).random((3, 1, 8, 14), dtype=np.float32)
    found = session.run(["denoised"], {"noisy": image})[0]
    expected = Ways()(torch.from_numpy(image)).numpy()
    assert found.shape == expected.shape == (3, 3, 16, 28)
    assert np.abs(found - expected).max() < 1e-6


def test_onnx_file_says_what_it_is(small: Model) -> None:
    content = exported_cnn()
    proto = onnx.load_from_string(content)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    assert proto.ir_version == 8
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    header = Header.model_validate_json(properties[HEADER_KEY])
    assert (header.architecture, header.hyperparameters, header.card) == ("cnn", {"widths": [2]}, small.card)
    assert header.normalization == json.loads(json.dumps(asdict(small.normalization)))
    assert properties["stride"] == "1"
    assert properties["halo"] == "2"
    assert "map the 0.5 and 99.5 percentiles of the whole image" in proto.doc_string


def test_exported_header_without_companions_is_that_of_older_programs() -> None:
    properties = {entry.key: entry.value for entry in onnx.load_from_string(exported_cnn()).metadata_props}
    written = json.loads(properties[HEADER_KEY])
    assert written["version"] == 1
    assert "companions" not in written


def test_onnx_names_sizes_by_the_stride() -> None:
    arguments = json.dumps(ARGUMENTS["unet"])
    proto = onnx.load_from_string(exported("unet", arguments))
    names = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.input]
    assert names == [["batch", 1, "4*y_blocks", "4*x_blocks"]]
    assert [v.name for v in (*proto.graph.input, *proto.graph.output)] == ["noisy", "denoised"]


def test_onnx_file_tells_nothing_of_this_machine() -> None:
    content = exported("unet", json.dumps(ARGUMENTS["unet"]))
    for private in (b"site-packages", b".py", str(Path(__file__).resolve().parents[2]).encode()):
        assert private not in content


def test_onnx_is_written_without_a_word_and_leaves_the_model_alone(
    tmp_path: Path, small: Model, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {name: tensor.clone() for name, tensor in small.network.state_dict().items()}
    path = export(small, tmp_path / "small.onnx")
    assert path.read_bytes()
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in tmp_path.iterdir()] == ["small.onnx"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.network.state_dict().items())
    assert all(parameter.dtype == torch.float32 for parameter in small.network.parameters())


def test_onnx_that_differs_from_torch_is_not_written(
    tmp_path: Path, small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(proto: Any) -> None:
        weights = onnx.numpy_helper.to_array(proto.initializer[0])
        proto.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights * 1.001, proto.initializer[0].name))

    right = exported_cnn()  # not once it cannot be traced any more
    monkeypatch.setattr(onnx_exporter, "_trace", lambda *_: onnx.load_from_string(right))
    monkeypatch.setattr(onnx_exporter, "_strip", spoil)
    path = tmp_path / "small.onnx"
    path.write_text("older")
    with pytest.raises(RuntimeError, match="off torch's"):
        export(small, path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_too_many_weights_for_onnx_are_refused(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_exporter, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="at most 100"):
        onnx_exporter.to_onnx(small)


# --- choosing the format


@pytest.mark.parametrize("name", ["model.pth", "model", "model.onnx.gz"])
def test_unknown_suffix_lists_the_choices(tmp_path: Path, small: Model, name: str) -> None:
    with pytest.raises(InputError, match=r"none of \.safetensors, \.onnx, \.zip"):
        export(small, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, small: Model, suffix: str) -> None:
    with pytest.raises(InputError, match="does not exist; create it"):
        export(small, tmp_path / "nowhere" / f"model{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        export(small, tmp_path / f"folder{suffix}")


@pytest.mark.parametrize(("suffix", "takes"), [(".onnx", "no options"), (".zip", "authors, licence")])
def test_unknown_option_is_refused(tmp_path: Path, small: Model, suffix: str, takes: str) -> None:
    with pytest.raises(InputError, match=f"takes {takes}; got author"):
        export(small, tmp_path / f"model{suffix}", author="me")


def test_safetensors_is_what_save_writes(tmp_path: Path) -> None:
    assert export("stem", tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
    load_model("stem").save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "module", "extra"),
    [(".onnx", "onnxscript", "onnx"), (".zip", "onnx", "bioimageio"), (".zip", "bioimageio.spec", "bioimageio")],
)
def test_missing_extra_is_told_with_its_command(
    tmp_path: Path, small: Model, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'{module} not installed: pip install "napari-hush\[{extra}\]"'):
        export(small, tmp_path / f"model{suffix}")


# --- BioImage.IO


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", RULES)
def test_package_comes_back_without_loss(tmp_path: Path, small: Model, method: str) -> None:
    model = replace(small, normalization=RULES[method], scale=Scale(lowest=5, highest=40, period=12))
    loaded = load_model(export(model, tmp_path / "small.zip"))
    assert loaded.scale == model.scale
    assert (loaded.architecture, loaded.hyperparameters) == (model.architecture, model.hyperparameters)
    assert (loaded.normalization, loaded.card) == (model.normalization, model.card)
    state = loaded.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.network.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["small.zip"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("architecture", NETWORKS)
def test_package_of_every_network_comes_back(tmp_path: Path, architecture: str) -> None:
    model = make(architecture, **SMALL.get(architecture, {}))
    loaded = load_model(export(model, tmp_path / "model.zip"))
    assert (loaded.architecture, loaded.hyperparameters) == (architecture, model.hyperparameters)
    state = loaded.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.network.state_dict().items())


@pytest.mark.usefixtures("quick")
def test_package_runs_without_napari_hush(tmp_path: Path) -> None:
    arguments = SMALL["cyclegan_resnet"] | {"in_channels": 3, "out_channels": 2, "norm": "batch"}
    model = replace(make("cyclegan_resnet", **arguments), normalization=RULES["clipped"])
    description, files = read_package(export(model, tmp_path / "model.zip"))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    entry = description["weights"]["pytorch_state_dict"]
    code = f"""
import importlib.util, sys
import numpy as np, torch
sys.modules["napari_hush"] = None
spec = importlib.util.spec_from_file_location("module", {entry["architecture"]["source"]!r})
module = sys.modules["module"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
network = module.{entry["architecture"]["callable"]}(**{entry["architecture"]["kwargs"]})
network.load_state_dict(torch.load({entry["source"]!r}, weights_only=True))
image = np.load("test_input.npy")
low, high = np.percentile(image, (0.1, 99.9))
image = np.clip(2 * (image - low) / (high - low) - 1, -1, 1).astype(np.float32)
with torch.inference_mode():
    found = network.eval()(torch.from_numpy(image)).numpy()
expected = np.load("test_output.npy")
assert found.shape == expected.shape == (1, 2, *image.shape[2:])
assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_source_of_a_network_needs_torch_alone(architecture: str) -> None:
    tree = ast.parse(Path(sys.modules[NETWORKS[architecture].__module__].__file__ or "").read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {"torch", *sys.stdlib_module_names}


@pytest.mark.usefixtures("quick")
def test_package_holds_what_it_promises(tmp_path: Path, small: Model) -> None:
    path = export(small, tmp_path / "small.zip", authors=["A. Author", "B. Author"])
    description, files = read_package(path)
    referred = [description["documentation"], *description["covers"], description["weights"]["onnx"]]
    referred += [description["weights"]["pytorch_state_dict"]]
    referred += [description["weights"]["pytorch_state_dict"]["architecture"]]
    referred += [tensor[key] for tensor in (*description["inputs"], *description["outputs"]) for key in tensor
                 if key.endswith("_tensor")]  # fmt: skip
    assert {entry["source"] for entry in referred} == files.keys() - {"bioimageio.yaml"}
    for entry in referred:
        assert hashlib.sha256(files[entry["source"]]).hexdigest() == entry["sha256"]
    assert description["authors"] == [{"name": "A. Author"}, {"name": "B. Author"}]
    assert description["license"] == "CC-BY-4.0"
    assert description["cite"] == [{"text": "a small one: source of the model", "doi": "10.1000/xyz123"}]
    assert description["config"][HEADER_KEY]["card"] == json.loads(small.card.model_dump_json())
    assert files["cover.png"][1:4] == b"PNG"
    assert len(files["cover.png"]) < 500_000
    noisy, denoised = (np.load(io.BytesIO(files[f"test_{which}put.npy"])) for which in ("in", "out"))
    assert noisy.shape == denoised.shape
    assert noisy.dtype == denoised.dtype == np.float32
    page = files["README.md"].decode()
    assert all(text in page for text in ("é", "no: 1.0", "| 1 |", "psnr: 31.5", "come back normalised", "CC-BY-4.0"))


@pytest.mark.usefixtures("quick")
def test_package_needs_a_licence(tmp_path: Path, small: Model) -> None:
    unknown = replace(small, card=ModelCard(name="x"))
    path = tmp_path / "small.zip"
    path.write_text("older")
    with pytest.raises(InputError, match="does not state the weights' licence"):
        export(unknown, path)
    with pytest.raises(InputError, match="'my own' is no licence"):
        export(unknown, path, licence="my own")
    assert path.read_text() == "older"
    assert load_model(export(unknown, path, licence="MIT")).card.licence == "MIT"


@pytest.mark.usefixtures("quick")
def test_what_bioimageio_refuses_is_not_written(tmp_path: Path, small: Model) -> None:
    path = tmp_path / "small.zip"
    path.write_text("older")
    with pytest.raises(InputError, match=r"refuses the package, nothing was written: .*"):
        export(small, path, authors=["a/b"])
    for authors in ("me", [], [3]):
        with pytest.raises(InputError, match="list of names"):
            export(small, path, authors=authors)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("method", RULES)
def test_declared_preprocessing_is_the_rule(method: str) -> None:
    rule = RULES[method]
    image = np.random.default_rng(0).gamma(2, 60, (1, 1, 128, 128)).astype(np.float32)
    if method in ("identity", "range"):
        image = np.clip(image, 0, 255)
    elif method == "match":
        image += 1000  # or it would be handed on as it is
        with pytest.warns(UserWarning, match="are mapped"):
            expected = rule.fit(lambda: [image]).apply(image)
    if method != "match":
        expected = rule.fit(lambda: [image]).apply(image)
    width = rule.target[1] - rule.target[0]
    assert np.abs(apply(to_operations(rule), image) - expected).max() < 5e-3 * width


def test_low_upper_percentile_cannot_be_expressed() -> None:
    with pytest.raises(InputError, match="upper percentiles above 1"):
        to_operations(NormalizationRule(low=0.1, high=0.9))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_declared_sizes_suit_the_network(architecture: str) -> None:
    model = Model.create(architecture, SMALL.get(architecture, {}))
    inputs, outputs = _describe_tensors(model, [])
    for declared, result in zip(inputs["axes"][2:], outputs["axes"][2:], strict=True):
        halo = result.get("halo", 0)
        assert (halo, declared["concatenable"]) == ((0, False) if model.staged else (model.halo, True))
        assert declared["size"]["step"] == model.stride
        assert declared["size"]["min"] % model.stride == 0
        assert declared["size"]["min"] > 2 * halo
        assert halo % model.stride == 0


@pytest.mark.parametrize("architecture", [name for name in NETWORKS if name != "cnn"])
def test_paper_of_the_network_is_cited(architecture: str) -> None:
    model = Model.create(architecture, SMALL.get(architecture, {}))
    found = find_citations(model)
    assert found
    for entry in found:
        assert entry["doi"].startswith("10.")
        assert len(entry["text"]) > 30
        assert "doi.org" not in entry["text"]


def test_words_for_every_rule() -> None:
    texts = {method: explain_rule(rule) for method, rule in RULES.items()}
    assert len(set(texts.values())) == len(RULES)
    assert "then clip to -1 and 1" in texts["clipped"]
    assert texts["range"].startswith("map 0 and 255 to -1 and 1")


def test_documentation_of_a_bare_card_is_complete() -> None:
    page = write_documentation(Model.create("cyclegan_resnet", SMALL["cyclegan_resnet"]), "MIT")
    for text in ("# unnamed", "run whole images", "Not stated.", "No measured figures", "10.1109/ICCV.2017.244"):
        assert text in page


# --- companions


@pytest.fixture
def regular(small: Model) -> Model:
    model = make(in_channels=3, widths=[2])
    return replace(model, companions="lattice", scale=Scale(lowest=5, highest=40, period=12))


def test_onnx_says_what_the_companions_are(regular: Model) -> None:
    proto = onnx.load_from_string(onnx_exporter.to_onnx(regular))
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    assert Header.model_validate_json(properties[HEADER_KEY]).companions == "lattice"
    assert "channel 1 the mean of its copies shifted by the eight shortest lattice translations" in proto.doc_string


@pytest.mark.usefixtures("quick")
def test_package_with_companions_comes_back_and_is_tested_with_them(tmp_path: Path, regular: Model) -> None:
    path = export(regular, tmp_path / "regular.zip")
    assert load_model(path).companions == "lattice"
    description, files = read_package(path)
    names = description["inputs"][0]["axes"][1]["channel_names"]
    assert names == ["intensity", "near_copies", "far_copies"]
    noisy = np.load(io.BytesIO(files["test_input.npy"]))
    assert noisy.shape[:2] == (1, 3)
    assert noisy[0, 2].std() < 0.8 * noisy[0, 0].std()  # the mean of many copies has less noise
    assert "the mean of its copies" in files["README.md"].decode()
