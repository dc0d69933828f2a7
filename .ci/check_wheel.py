"""Fail unless a wheel holds what users need and nothing else."""

from __future__ import annotations

import sys
import zipfile

MODELS = ("stem", "stem-regular", "tomo", "general", "stem-cyclegan")


def main(wheel: str) -> int:
    """List what is missing from the wheel or does not belong there; 0 where nothing is."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wrong = [
        f"missing: napari_hush/{name}"
        for name in (
            "__init__.py",
            "cli/__init__.py",
            "napari.yaml",
            "py.typed",
            *(f"zoo/{model}.{kind}" for model in MODELS for kind in ("safetensors", "md")),
        )
        if f"napari_hush/{name}" not in names
    ]
    for name in names:
        if not name.startswith(("napari_hush/", "napari_hush-")):
            wrong.append(f"outside the package: {name}")
        elif name.startswith("napari_hush/tests/") or "__pycache__" in name:
            wrong.append(f"does not belong into a wheel: {name}")
    if not any(".dist-info/licenses/" in name for name in names):
        wrong.append("missing: the licence")
    print("\n".join(wrong) or f"{wheel}: {len(names)} files, as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
