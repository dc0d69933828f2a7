"""A new model format is one entry: Python, the command line and the lists of the docks follow."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import tyro

from napari_hush.card import ModelCard
from napari_hush.cli import main
from napari_hush.cli.importing import import_options
from napari_hush.errors import InputError, ModelFileError
from napari_hush.exporters import EXPORTERS, Exporter, export
from napari_hush.exporters import expected as exportable
from napari_hush.importers.registry import IMPORTERS, Importer, expected, load_model, look, suffixes
from napari_hush.model import Model

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ScrollOptions:
    """What a scroll does not say.

    Parameters
    ----------
    reader : str
        Who unrolls it.
    """

    reader: str = "nobody"


def load_scroll(path: Path, options: ScrollOptions) -> Model:
    card = ModelCard(name=path.stem, description=f"Read by {options.reader}.")
    return Model.create("cnn", {"widths": (2,)}, card=card)


def describe_scroll(path: Path) -> str:
    if path.read_bytes().endswith(b"torn"):
        raise ModelFileError(f"{path}: a torn scroll")
    return path.read_bytes()[6:].decode()


@pytest.fixture
def scroll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a format that was registered by one entry."""
    importer = Importer(
        kind="Papyrus scroll",
        suffixes=(".scroll",),
        matches=lambda _path, head: head.startswith(b"SCROLL"),
        load=load_scroll,
        options=ScrollOptions,
        describe=describe_scroll,
    )
    monkeypatch.setitem(IMPORTERS, "scroll", importer)
    path = tmp_path / "wisdom.scroll"
    path.write_bytes(b"SCROLL")
    return path


def test_python_loads_what_is_registered(scroll: Path) -> None:
    assert load_model(scroll).card.description == "Read by nobody."
    assert load_model(scroll, reader="Ada").card.description == "Read by Ada."
    with pytest.raises(InputError, match="the scroll importer takes reader; got upsampling"):
        load_model(scroll, upsampling="nearest")


def test_it_is_named_among_what_is_expected(scroll: Path) -> None:
    scroll.write_text("hello")
    with pytest.raises(ModelFileError, match=r"text that begins with 'hello'; .*or Papyrus scroll \(\.scroll\)"):
        load_model(scroll)
    assert expected().endswith("or Papyrus scroll (.scroll)")
    assert suffixes()[-1] == ".scroll"


def test_looking_at_it_gives_its_own_words_or_its_kind(scroll: Path) -> None:
    assert look(scroll) == "Papyrus scroll"
    scroll.write_bytes(b"SCROLLof the sea")
    assert look(scroll) == "of the sea"
    scroll.write_bytes(b"SCROLL torn")
    with pytest.raises(ModelFileError, match="torn scroll"):
        look(scroll)


def test_the_command_line_reads_it_and_has_its_options(scroll: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = scroll.with_name("out.safetensors")
    assert main(["models", str(scroll)]) == 0
    assert main(["convert", str(scroll), str(target)]) == 0
    assert "Read by nobody." in capsys.readouterr().out
    assert Model.load(target).card.name == "wisdom"
    options = tyro.cli(import_options(), args=["--reader", "Bo"])
    assert options.given == {"reader": "Bo"}
    assert options.load(str(scroll)).card.description == "Read by Bo."
    with pytest.raises(SystemExit):
        tyro.cli(import_options(), args=["--help"])
    assert "For a Papyrus scroll: Who unrolls it." in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_loader_is_imported_when_it_is_used() -> None:
    code = (
        "import sys\nfrom napari_hush.importers.registry import IMPORTERS\nimport napari_hush.exporters\n"
        "assert all(isinstance(one.load, str) for one in IMPORTERS.values())\n"
        "sys.exit('torch' in sys.modules or 'h5py' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert all(callable(one.loader) for one in IMPORTERS.values())


# exporters


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A format that was registered by one entry; what its writer was asked for."""
    asked: list[dict[str, Any]] = []

    def carve(model: Model, path: Path, *, authors: list[str] | None = None, depth: float = 1.0) -> None:
        asked.append({"model": model.card.name, "authors": authors, "depth": depth})
        path.write_bytes(b"WALL")

    monkeypatch.setitem(EXPORTERS, ".wall", Exporter(kind="wall of stone", write=carve))
    return asked


def test_python_exports_to_what_is_registered(wall: list[dict[str, Any]], tmp_path: Path) -> None:
    model = Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="tiny"))
    assert export(model, tmp_path / "a.wall", depth=2.0).read_bytes() == b"WALL"
    assert wall == [{"model": "tiny", "authors": None, "depth": 2.0}]
    with pytest.raises(InputError, match=r"the \.wall exporter takes authors, depth; got licence"):
        export(model, tmp_path / "a.wall", licence="MIT")
    with pytest.raises(InputError, match=r"none of .*\.wall"):
        export(model, tmp_path / "a.floor")
    assert ".wall (wall of stone)" in exportable()


def test_the_command_line_converts_to_it_and_names_authors_where_it_takes_them(
    wall: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="tiny")).save(tmp_path / "tiny.safetensors")
    source = str(tmp_path / "tiny.safetensors")
    assert main(["convert", source, str(tmp_path / "a.wall"), "--author", "Ada"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'a.wall'}: wall of stone, cnn, ")
    assert wall == [{"model": "tiny", "authors": ["Ada"], "depth": 1.0}]
    assert main(["convert", source, str(tmp_path / "a.onnx"), "--author", "Ada"]) == 2
    assert "(ONNX model) names no authors" in capsys.readouterr().err
    assert main(["convert", source, str(tmp_path / "a.floor")]) == 2
    assert ".wall (wall of stone)" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", EXPORTERS)
def test_an_extra_that_a_format_needs_is_one_of_the_package(suffix: str) -> None:
    from importlib.metadata import metadata

    extra = EXPORTERS[suffix].extra
    assert not extra or extra in (metadata("napari-hush").get_all("Provides-Extra") or [])
