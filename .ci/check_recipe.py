"""Fail unless the conda recipe can be rendered and asks for what pyproject.toml does."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from rattler_build import RenderConfig, Stage0Recipe, VariantConfig

RECIPE = Path("conda/recipe.yaml")
NAMES = {"torch": "pytorch"}  # on conda-forge
BUILT_BY = ("python", "pip")


def wanted(lines: list[str]) -> set[tuple[str, str]]:
    """Names and versions, as conda calls them."""
    found = (re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines)
    return {(NAMES.get(one[1], one[1]), one[2].strip()) for one in found if one is not None}


def asked(lines: list[str]) -> set[tuple[str, str]]:
    """The same of the recipe, without Python itself."""
    parts = (str(line).partition(" ") for line in lines)
    return {(name, version.strip()) for name, _, version in parts if name not in BUILT_BY}


def main() -> int:
    """Compare; 0 where nothing is wrong."""
    pyproject = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    recipe = Stage0Recipe.from_yaml(RECIPE.read_text("utf-8"))
    rendered = recipe.render(VariantConfig(), RenderConfig())
    told = recipe.to_dict()
    version = told["context"]["version"]
    wrong = []
    if len(rendered) != 1:
        wrong.append(f"{len(rendered)} packages are rendered, one is meant")
    for what, mine, theirs in (
        ("run", wanted(pyproject["project"]["dependencies"]), asked(told["requirements"]["run"])),
        ("host", wanted(pyproject["build-system"]["requires"]), asked(told["requirements"]["host"])),
    ):
        if mine != theirs:
            wrong.append(f"{what}: {sorted(mine ^ theirs)} in one of pyproject.toml and {RECIPE} only")
    newest = re.search(r"^## (\S+)", Path("CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if newest is None or newest[1] != version:
        wrong.append(f"version {version} is not the newest of CHANGELOG.md")
    print("\n".join(wrong) or f"{RECIPE}: napari-hush {version}, as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
