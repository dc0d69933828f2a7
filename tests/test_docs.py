"""What the documentation shows is run: its Python, its commands, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import napari_hush
from keras_files import make_config, tomogan_layers, write_keras
from napari_hush.cli import COMMANDS, main
from napari_hush.io import write_image
from napari_hush.networks.cyclegan import CycleGANResNet
from napari_hush.networks.tomogan import TomoGAN

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/*.md"))
BLOCK = re.compile(
    r"^(?P<mark><!-- not run: [^\n]* -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(napari_hush.__path__, "napari_hush.")
    if not info.name.startswith("napari_hush.widgets")
)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page, without those under a comment <!-- not run: reason -->."""
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [match["code"] for match in found if match["language"] == language and not match["mark"]]


def commands() -> list[Any]:
    """The arguments of every napari-hush command in the pages."""
    found = {}
    for page in PAGES:
        for code in blocks(page, "bash"):
            for part in code.replace("&&", "\n").splitlines():
                words = shlex.split(part, comments=True)
                if words[:1] == ["napari-hush"]:
                    found[shlex.join(words[1:])] = words[1:]
    return [pytest.param(words, id=text) for text, words in found.items()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documentation speaks of, small ones."""
    monkeypatch.chdir(tmp_path)
    field = napari_hush.sample("dented-lattice")
    image, clean = field.noisy[:96, :80], field.clean[:96, :80]
    frames = np.stack([image, image[::-1]])
    write_image("scan.tif", image, pixel_size=0.02)
    for name in ("denoised.tif", "truth.tif"):
        write_image(name, clean, pixel_size=0.02)
    write_image("movie.zarr", frames, axes="TYX")
    Path("series").mkdir()
    for number in (1, 2, 10):
        write_image(f"series/scan{number}.tif", image)
    with h5py.File("movie.h5", "w") as file:
        file["entry/frames"] = frames
    torch.manual_seed(0)
    config = make_config(tomogan_layers(in_channels=1, interpolation="bilinear"), "Model")
    write_keras(Path("TomoGAN.h5"), TomoGAN(), config)
    torch.save(CycleGANResNet(width=4, blocks=1).state_dict(), "latest_net_G_A.pth")
    napari_hush.load_model("stem").save("mine.safetensors")
    return tmp_path


NEEDS = {"export.md": ("onnx", "onnxscript", "onnxruntime", "bioimageio.spec")}  # of extras, beyond those for tests


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_of_the_page_runs(page: Path, desk: Path) -> None:
    for module in NEEDS.get(page.name, ()):
        pytest.importorskip(module)
    namespace: dict[str, object] = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), namespace)


@pytest.mark.parametrize("words", commands())
@pytest.mark.filterwarnings("default::UserWarning:napari_hush")  # an imported model says that it maps the values
def test_command_of_the_page_runs(words: list[str], desk: Path) -> None:
    before = set(desk.rglob("*"))
    if "--help" in words or "--napari" in words:
        with pytest.raises(SystemExit) as stop:
            main([*(word for word in words if word != "--help"), "--help"])
        assert not stop.value.code
        return
    assert main(words) == 0
    assert set(desk.rglob("*")) - before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_documentation(command: str) -> None:
    assert any(param.values[0][0] == command for param in commands())


def test_every_page_is_in_the_table_of_contents() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert all(f": {page.name}\n" in text for page in ROOT.glob("docs/*.md"))


def test_rows_of_modules_are_those_that_lint_imports_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    checked = [set(layer.split(" | ")) for layer in contracts[0]["layers"]]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", (ROOT / "docs" / "extend.md").read_text("utf-8"), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == checked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str, desk: Path) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
