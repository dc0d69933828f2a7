"""What the pages name exists: options of each command, commands, extras, controls of the docks, files."""

from __future__ import annotations

import re
import shlex
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from napari_hush.cli import COMMANDS, main
from napari_hush.training.methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(ROOT.glob("docs/**/*.md"))
CODE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OTHERS = set(
    "no-deps index-url torch-backend standalone nproc-per-node nnodes ntasks-per-node strict eval info".split()
)  # of pip, uv, torchrun, srun, mypy, foreign training scripts and napari


def spans(page: Path) -> list[str]:
    """Inline code of a page."""
    return SPAN.findall(CODE.sub("", page.read_text("utf-8")))


def lines(page: Path) -> list[str]:
    """Every line of shell in a page, also of blocks that are not run, with continued lines put together."""
    found = []
    for language, code in CODE.findall(page.read_text("utf-8")):
        if language in ("", "bash", "sh", "console"):
            found += code.replace("\\\n", " ").replace("&&", "\n").splitlines()
    return found


def commands(page: Path) -> list[list[str]]:
    """The words after napari-hush, of blocks and of inline code."""
    found = []
    for line in lines(page) + spans(page):
        _, mark, rest = line.partition("napari-hush ")
        if not mark:
            _, mark, rest = line.partition("napari_hush.cli ")
        before = line.removesuffix(mark + rest).split()
        if not mark or before[:1] in (["#"], ["pip"], ["conda"]) or (before and "/" in before[-1]):
            continue
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:  # a part of a line
            continue
        if words and re.fullmatch(r"[a-z]+", words[0]):
            found.append(words)
    return found


@cache
def options(*words: str) -> frozenset[str]:
    """The options of a command, of its help."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        main([*words, "--help"])
    return frozenset(re.findall(r"--([a-z][a-z0-9-]*)", out.getvalue())) | {"help"}


def options_of(words: list[str]) -> frozenset[str]:
    """The options that a command on a page can have."""
    if words[0] != "train":
        return options(words[0])
    methods = words[1:2] if words[1:2] and words[1] in METHODS else list(METHODS)
    return frozenset().union(*(options("train", one) for one in methods))


def param(pages: list[Path]) -> list[Any]:
    return [pytest.param(page, id=page.name) for page in pages]


@pytest.mark.parametrize("page", param(PAGES))
def test_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    wrong = []
    for words in commands(page):
        if words[0] not in COMMANDS:
            wrong.append(f"napari-hush {words[0]}")
            continue
        given = {word[2:].partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        wrong += [f"napari-hush {words[0]} --{one}" for one in sorted(given - options_of(words) - OTHERS)]
    assert wrong == []


@pytest.mark.parametrize("page", param(PAGES))
def test_options_in_the_text_of_a_page_exist(page: Path) -> None:
    known = frozenset().union(*(options_of([name]) for name in COMMANDS)) | OTHERS | {"version"}
    known |= set(
        re.findall(r"\"--([a-z0-9-]+)\"", "\n".join(p.read_text("utf-8") for p in ROOT.glob("benchmarks/*.py")))
    )
    scripts = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("scripts/*.py")]
    known |= set(re.findall(r"\"--([a-z0-9-]+)\"", "\n".join(path.read_text("utf-8") for path in scripts)))
    named = {one for span in spans(page) for one in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", span)}
    assert sorted(named - known) == []


@pytest.mark.parametrize("page", param(PAGES))
def test_extras_of_a_page_exist(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = page.read_text("utf-8")
    named = re.findall(r"(?:napari-hush|\"?\.)\[([a-z,]+)\]", text)
    named += re.findall(r"extras? `(\w+)`", text)
    assert {one for names in named for one in names.split(",")} - set(project["optional-dependencies"]) == set()


@pytest.mark.parametrize("page", param(PAGES))
def test_scripts_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"(?<![\w/])((?:benchmarks|scripts|tests|\.ci|docs)/[\w./-]+\w)", page.read_text("utf-8"))
    assert [one for one in sorted(set(named)) if "*" not in one and not (ROOT / one).exists()] == []


@pytest.mark.parametrize("page", param(PAGES))
def test_python_of_a_page_can_be_read(page: Path) -> None:
    """Also of blocks that are not run."""
    for language, code in CODE.findall(page.read_text("utf-8")):
        if language in ("python", "py"):
            compile(textwrap.dedent(code), page.name, "exec", dont_inherit=True)
