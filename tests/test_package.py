"""The package as a whole: cheap to import, typed, documented."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_hush
from napari_hush.fidelity.verdict import Evidence
from napari_hush.inference.settings import DenoiseSettings

HEAVY = ("PyQt6", "PySide6", "dask", "h5py", "magicgui", "napari", "numpy", "qtpy", "scipy", "skimage", "torch", "zarr")
GUI = "napari_hush.widgets"
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(napari_hush.__path__, "napari_hush.")
    if not info.name.startswith(GUI) and not any(part.startswith("_") for part in info.name.split("."))
)


def loaded_by(statement: str) -> set[str]:
    """The names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_loads_neither_torch_nor_qt() -> None:
    before = loaded_by("pass")
    after = loaded_by("import napari_hush; napari_hush.__all__; dir(napari_hush)") - before
    assert not {name for name in after if name.split(".")[0] in HEAVY}
    assert {name for name in after if name.startswith("napari_hush")} == {"napari_hush"}


@pytest.mark.parametrize("command", ["--help", "demo --help", "denoise --help"])
def test_help_of_the_command_line_loads_neither_torch_nor_qt(command: str) -> None:
    code = f"""
try:
    from napari_hush.cli import main
    sys.stdout = open(__import__("os").devnull, "w")
    main({command.split()})
except SystemExit as stop:
    assert not stop.code
sys.stdout = sys.__stdout__
"""
    loaded = {name.split(".")[0] for name in loaded_by(code)}
    assert "napari_hush" in loaded
    assert not loaded & {"PyQt6", "PySide6", "napari", "qtpy", "torch"}


def test_samples_load_neither_torch_nor_qt() -> None:
    loaded = {name.split(".")[0] for name in loaded_by("from napari_hush.synthesis import samples")}
    assert not loaded & {"PyQt6", "PySide6", "magicgui", "napari", "qtpy", "torch"}


@pytest.mark.parametrize("name", napari_hush.__all__)
def test_public_name_resolves(name: str) -> None:
    item = getattr(napari_hush, name)
    assert item.__name__ == name
    assert name in dir(napari_hush)
    assert item is getattr(importlib.import_module(item.__module__), name)


# Scripts outside of this repository use these names, and call them like this.
CALLS = {
    "adapt": "image model settings",
    "compare_repeats": "noisy denoised data_range=",
    "denoise": "image model",
    "describe": "image channel_axis= pixel_size=",
    "estimate_spacing": "image",
    "evaluate": "noisy denoised truth= spacing=",
    "export": "model path",
    "find_atoms": "image spacing",
    "fit": "method data settings",
    "judge": "noisy denoised truth= spacing= positions= vacancies= transmission= dark=",
    "load_model": "source",
    "register": "frames smooth=",
    "sample": "name rng",
    "synthesize": "settings out",
    "train": "method data settings",
    "train_settings": "method table",
}
CLASSES = {
    "About", "AdaptSettings", "Adapted", "DenoiseSettings", "FileFormatError", "InputError", "Model", "ModelCard",
    "ModelFileError", "Progress", "Registration", "Sample", "SynthesisSettings", "Target",
}  # fmt: skip


def test_public_names_are_these() -> None:
    assert set(napari_hush.__all__) == {*CALLS, "list_models", *CLASSES}
    assert {"status", "verdict", "findings", "residual", "spacing"} <= set(dir(Evidence)) | {
        field.name for field in dataclasses.fields(Evidence)
    }


@pytest.mark.parametrize("name", CALLS)
def test_public_function_takes_these_arguments_first(name: str) -> None:
    parameters = list(inspect.signature(getattr(napari_hush, name)).parameters.values())
    for asked, parameter in zip(CALLS[name].split(), parameters, strict=False):
        assert asked.removesuffix("=") == parameter.name
        assert asked.endswith("=") == (parameter.kind is inspect.Parameter.KEYWORD_ONLY)
    assert len(parameters) >= len(CALLS[name].split())


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        napari_hush.denoize  # noqa: B018


def test_version_is_a_version() -> None:
    assert re.match(r"\d+\.\d+", napari_hush.__version__)


def test_package_is_typed_and_brings_its_manifest() -> None:
    folder = Path(napari_hush.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "napari.yaml").is_file(), "an editable install links it: pip install -e ."


def test_every_bundled_model_has_its_card_beside_it() -> None:
    zoo = Path(napari_hush.__file__).parent / "zoo"
    weights = {path.stem for path in zoo.glob("*.safetensors")}
    assert weights
    assert {path.stem for path in zoo.glob("*.md")} == weights


def test_what_is_public_by_its_name_is_in_all() -> None:
    """Where a module has ``__all__``, ruff asks for the docstrings of what is in it and of nothing else."""
    left_out = [
        f"{module.__name__}.{name}"
        for module in map(importlib.import_module, ["napari_hush", *MODULES])
        for name, item in vars(module).items()
        if hasattr(module, "__all__") and name not in module.__all__ and not name.startswith("_")
        if (inspect.isfunction(item) or inspect.isclass(item)) and item.__module__ == module.__name__
    ]
    assert left_out == []


@pytest.mark.parametrize("name", [name for name in napari_hush.__all__ if not name.endswith("Error")])
def test_public_face_has_numpydoc_sections(name: str) -> None:
    item = getattr(napari_hush, name)
    doc = inspect.getdoc(item) or ""
    signature = inspect.signature(item)
    undocumented = [p for p in signature.parameters if not re.search(rf"^(.*, )?\**{p}\b.*$", doc, re.MULTILINE)]
    if name == "ModelCard":  # pydantic's signature holds the fields
        undocumented = [field for field in item.model_fields if f"\n{field} :" not in doc]
    if name == "denoise":  # whose settings are told in their own class, where a new one is told too
        assert "`DenoiseSettings`" in doc
        undocumented = [name for name in undocumented if name not in inspect.signature(DenoiseSettings).parameters]
    assert not undocumented
    if signature.parameters:
        assert "\nParameters\n----------\n" in doc
    if inspect.isfunction(item) and signature.parameters:
        assert "\nReturns\n-------\n" in doc
