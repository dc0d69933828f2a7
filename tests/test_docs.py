"""What the documentation shows is run: its Python, its commands, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
MANUAL = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + MANUAL
BLOCK = re.compile(
    r"^(?P<mark><!-- not run: [^\n]* -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(napari_hush.__path__, "napari_hush.")
    if not info.name.startswith("napari_hush.widgets")
)
EXAMPLES = [name for name in MODULES if ">>> " in Path(find_spec(name).origin).read_text("utf-8")]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page, without those under a comment <!-- not run: reason -->."""
    if page.parent.name == "tutorials":  # stories, whose blocks test_tutorials.py runs one after the other
        return []
    found = BLOCK.finditer(page.read_text("utf-8"))
    return [match["code"] for match in found if match["language"] == language and not match["mark"]]


def short(page: Path) -> str:
    """A page's place in the repository."""
    return page.relative_to(ROOT).as_posix()


def of_the_gate(page: Path) -> bool:
    """Whether the page is run before every change; the manual is run nightly."""
    return page.parent == ROOT


def pages() -> list[Any]:
    """The pages with Python in them."""
    marks = {True: (), False: pytest.mark.nightly}
    return [
        pytest.param(page, id=short(page), marks=marks[of_the_gate(page)]) for page in PAGES if blocks(page, "python")
    ]


def commands(wanted: Callable[[Path], bool] = lambda page: True) -> dict[str, list[str]]:
    """The arguments of every napari-hush command in the pages."""
    found = {}
    for page in filter(wanted, PAGES):
        for code in blocks(page, "bash"):
            for part in code.replace("&&", "\n").splitlines():
                words = shlex.split(part, comments=True)
                if words[:1] == ["napari-hush"]:
                    found[shlex.join(words[1:])] = words[1:]
    return found


def command_params() -> list[Any]:
    """All commands, those that stand in the manual alone marked as nightly."""
    often = commands(of_the_gate)
    return [
        pytest.param(words, id=text, marks=() if text in often else pytest.mark.nightly)
        for text, words in commands().items()
    ]


@pytest.fixture(scope="session")
def documented_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documentation speaks of, small ones."""
    folder = tmp_path_factory.mktemp("documented")
    field = napari_hush.sample("dented-lattice")
    image, clean = field.noisy[:96, :80], field.clean[:96, :80]
    frames = np.stack([image, image[::-1]])
    write_image(folder / "scan.tif", image, pixel_size=0.02)
    for name in ("denoised.tif", "truth.tif"):
        write_image(folder / name, clean, pixel_size=0.02)
    write_image(folder / "repeat.tif", clean + np.roll(image - clean, 9, axis=0), pixel_size=0.02)
    write_image(folder / "movie.zarr", frames, axes="TYX")
    write_image(folder / "big.zarr", image)
    for name, label in (("series", "scan"), ("scan", "slice")):
        (folder / name).mkdir()
        for number in (1, 2, 10):
            write_image(folder / name / f"{label}{number}.tif", image)
    with h5py.File(folder / "movie.h5", "w") as file:
        file["entry/frames"] = frames
    napari_hush.synthesize({"kind": "foam", "n": 4, "test_share": 0, "shape": (64, 64)}, folder / "slices")
    slabs = {"kind": "tomography", "slices": 3, "n": 4, "test_share": 0, "shape": (48, 48)}
    napari_hush.synthesize(slabs, folder / "slabs")
    torch.manual_seed(0)
    config = make_config(tomogan_layers(in_channels=1, interpolation="bilinear"), "Model")
    write_keras(folder / "TomoGAN.h5", TomoGAN(), config)
    torch.save(CycleGANResNet(width=4, blocks=1).state_dict(), folder / "latest_net_G_A.pth")
    napari_hush.load_model("stem").save(folder / "mine.safetensors")
    return folder


@pytest.fixture
def desk(documented_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of these files, in the working folder."""
    folder = tmp_path / "desk"
    shutil.copytree(documented_files, folder)
    monkeypatch.chdir(folder)
    return folder


NEEDS = {"export.md": ("onnx", "onnxscript", "onnxruntime", "bioimageio.spec")}  # of extras, beyond those for tests


@pytest.mark.parametrize("page", pages())
def test_python_of_the_page_runs(page: Path, desk: Path) -> None:
    for module in NEEDS.get(page.name, ()):
        pytest.importorskip(module)
    namespace: dict[str, object] = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec", dont_inherit=True), namespace)  # as a reader would run it


@pytest.mark.parametrize("words", command_params())
@pytest.mark.filterwarnings("default::UserWarning:napari_hush")  # an imported model says that it maps the values
def test_command_of_the_page_runs(words: list[str], desk: Path) -> None:
    if words[0] == "synthesize":  # a data set that other commands begin with
        shutil.rmtree(desk / words[1], ignore_errors=True)
    before = set(desk.rglob("*"))
    if "--help" in words or "--napari" in words:
        with pytest.raises(SystemExit) as stop:
            main([*(word for word in words if word != "--help"), "--help"])
        assert not stop.value.code
        return
    assert main(words) == 0
    assert words[0] == "info" or set(desk.rglob("*")) - before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_documentation(command: str) -> None:
    assert any(words[0] == command for words in commands().values())


def test_every_page_is_in_the_table_of_contents() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert [page for page in MANUAL if f": {page.relative_to(ROOT / 'docs').as_posix()}\n" not in text] == []


def test_every_public_name_is_in_the_reference() -> None:
    pages = [page.read_text("utf-8") for page in MANUAL if page.parent.name == "reference"]
    told = set(re.findall(r"^::: napari_hush\.(.+)$", "\n".join(pages), re.MULTILINE))
    assert {*napari_hush.__all__, *(f"io.{name}" for name in napari_hush.io.__all__)} - told == set()


def test_rows_of_modules_are_those_that_lint_imports_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    checked = [set(layer.split(" | ")) for layer in contracts[0]["layers"]]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", (ROOT / "docs" / "extend.md").read_text("utf-8"), re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == checked


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_run(name: str, desk: Path) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
