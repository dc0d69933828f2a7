"""What a release says of itself: version, citation, licences, extras."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NEWEST = re.compile(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_changelog_citation_and_recipe_are_of_one_version() -> None:
    newest = NEWEST.search(text("CHANGELOG.md"))
    assert newest is not None
    citation, recipe = yaml.safe_load(text("CITATION.cff")), yaml.safe_load(text("conda/recipe.yaml"))
    assert (str(citation["version"]), str(citation["date-released"])) == newest.groups()
    assert recipe["context"]["version"] == newest[1]


def test_references_have_the_dois_of_the_code() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    for one in yaml.safe_load(text("CITATION.cff"))["references"]:
        assert f"https://doi.org/{one['doi']}" in code


def test_every_dependency_has_a_lowest_version() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    open_ends = [one for one in project["dependencies"] + extras if ">=" not in one and "napari-hush" not in one]
    assert open_ends == []


def test_notices_name_every_dependency() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    from third_party import packages

    rows = re.findall(r"^\| \[(.+?)\]\(.+?\) \| (.+?) \| .+ \|$", text("THIRD_PARTY.md"), re.MULTILINE)
    assert dict(rows) == {name: ", ".join(extras) for name, extras in packages().items()}


def test_notices_are_current() -> None:
    if missing := [name for name in ("liffile", "pydicom", "hdf5plugin", "napari", "rsciio") if not find_spec(name)]:
        pytest.skip(f"not installed: {missing}")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "third_party.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
