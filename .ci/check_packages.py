"""Fail unless wheel and sdist hold what users need and nothing else, and agree on version and metadata.

Run it as ``python .ci/check_packages.py DIST [VERSION]`` on the folder that ``python -m build`` filled.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

MODELS = ("stem", "stem-regular", "tomo", "tomo-slices", "general", "stem-cyclegan")
PACKAGE = (
    "__init__.py",
    "cli/__init__.py",
    "py.typed",
    *(f"zoo/{model}.{kind}" for model in MODELS for kind in ("safetensors", "md")),
)
SOURCE = ("CHANGELOG.md", "LICENSE", "README.md", "hatch_build.py", "napari.yaml", "pyproject.toml")


def wrong_in_wheel(names: list[str]) -> list[str]:
    """What is missing from a wheel or does not belong there."""
    wrong = [f"missing: napari_hush/{name}" for name in (*PACKAGE, "napari.yaml") if f"napari_hush/{name}" not in names]
    for name in names:
        if not name.startswith(("napari_hush/", "napari_hush-")):
            wrong.append(f"outside the package: {name}")
        elif name.startswith("napari_hush/tests/") or "__pycache__" in name:
            wrong.append(f"does not belong into a wheel: {name}")
    if not any(".dist-info/licenses/" in name for name in names):
        wrong.append("missing: the licence")
    return wrong


def wrong_in_sdist(names: list[str]) -> list[str]:
    """What is missing from an sdist or does not belong there; ``names`` without the folder that holds all."""
    wanted = [*SOURCE, *(f"src/napari_hush/{name}" for name in PACKAGE), "tests/conftest.py", "docs/index.md"]
    wrong = [f"missing: {name}" for name in wanted if name not in names]
    wrong += [f"does not belong into an sdist: {name}" for name in names if "__pycache__" in name]
    if "src/napari_hush/napari.yaml" in names:
        wrong.append("does not belong into an sdist: the link of an editable install, src/napari_hush/napari.yaml")
    return wrong


def wrong_in_metadata(wheel: str, sdist: str, version: str | None) -> list[str]:
    """What differs between the two, or from the version that is wanted."""
    one, other = (HeaderParser().parsestr(text) for text in (wheel, sdist))
    wrong = [
        f"{key} differs: {one.get_all(key)} in the wheel, {other.get_all(key)} in the sdist"
        for key in ("Name", "Version", "Requires-Python", "License-Expression", "Requires-Dist", "Classifier")
        if one.get_all(key) != other.get_all(key)
    ]
    if version is not None and one["Version"] != version:
        wrong.append(f"the version is {one['Version']}, not {version}")
    return wrong


def main(folder: str, version: str | None = None) -> int:
    """List what is wrong; 0 where nothing is."""
    (wheel,), (sdist,) = Path(folder).glob("*.whl"), Path(folder).glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        told = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    wrong = wrong_in_wheel(names)
    with tarfile.open(sdist) as tar:
        inside = [name.partition("/")[2] for name in tar.getnames()]
        info = tar.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert info is not None
        wrong += wrong_in_sdist(inside) + wrong_in_metadata(told, info.read().decode(), version)
    print("\n".join(wrong) or f"{wheel.name}: {len(names)} files, {sdist.name}: {len(inside)}, as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
