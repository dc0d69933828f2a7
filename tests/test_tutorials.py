"""The tutorials are stories: short, with light pictures, and everything in them runs in its order."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "tutorials"
PAGES = sorted(FOLDER.glob("*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture
def tutorials(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tutorials

    return tutorials


@pytest.mark.nightly
@every_page
def test_everything_in_a_tutorial_runs_in_its_order(page: Path, tutorials: Any, tmp_path: Path) -> None:
    assert tutorials.run_page(page, tmp_path).actions >= 1


@every_page
def test_a_tutorial_has_less_than_900_words(page: Path, tutorials: Any) -> None:
    assert tutorials.count_words(page) < 900


@every_page
def test_a_tutorial_states_how_many_actions_it_takes(page: Path, tutorials: Any) -> None:
    stated = re.search(r"^\*(\d+) actions?, ", page.read_text("utf-8"), re.MULTILINE)
    assert stated and int(stated[1]) == len(tutorials.actions(page))


@every_page
def test_files_that_a_tutorial_links_to_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@every_page
def test_a_tutorial_is_in_the_table_of_contents(page: Path) -> None:
    assert f": tutorials/{page.name}\n" in (ROOT / "mkdocs.yml").read_text("utf-8")


def test_pictures_of_the_tutorials_are_light_and_used() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    pictures = sorted((ROOT / "docs" / "images" / "tutorials").glob("*.png"))
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size >= 200_000] == []
    assert [picture.name for picture in pictures if f"images/tutorials/{picture.name})" not in text] == []


def test_a_tutorial_that_fails_says_where(tutorials: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nraise SystemExit('no such sample')\n```\n", "utf-8")
    with pytest.raises(RuntimeError, match=r"page\.md(.|\n)*no such sample"):
        tutorials.run_page(page, tmp_path)
    assert tutorials.actions(page)[0][0] == sys.executable


@pytest.mark.nightly
def test_the_notebook_still_shows_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from run_notebook import run

    def printed(notebook: Any) -> list[str]:
        cells = (cell for cell in notebook.cells if cell.cell_type == "code")
        words = "".join(out.get("text", "") for cell in cells for out in cell.outputs)
        return re.sub(r"\d[\d.,]*", "#", words).splitlines()  # other processors differ in the last digits

    kept = nbformat.read(FOLDER / "notebook.ipynb", as_version=4)
    assert (FOLDER / "notebook.ipynb").stat().st_size < 200_000
    assert printed(run(FOLDER / "notebook.ipynb"))[-6:] == printed(kept)[-6:]
