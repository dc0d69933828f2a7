"""Write THIRD_PARTY.md: what napari-hush depends on, and under which licences, from the metadata of what is installed.

python scripts/third_party.py            # in an environment with the extra dev
python scripts/third_party.py --check    # fail where the page is not current
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "THIRD_PARTY.md"
LEFT_OUT = ("all", "dev", "docs", "test")  # extras that are made of others, or for work on the project
HEAD = """# What others made

The wheel of napari-hush holds no code of others. Its models (`napari_hush/zoo/`) were trained by its developers on
images that they simulated, as the card beside each of them says, and have the licence of the program,
[BSD-3-Clause](LICENSE).

It depends on these packages, which pip installs beside it under their own licences. `core` is always installed, the
others by the extra of that name. Licences of the GPL's kind (GPL, LGPL, AGPL) are marked: who passes on napari-hush
*together with* such a package keeps to those, too. Qt can be another: napari runs with PySide6 (LGPL) as well.

This table is made by `python scripts/third_party.py`.

"""
SHORT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "BSD",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0",
    "MIT License": "MIT",
}


def packages() -> dict[str, list[str]]:
    """Each package that pyproject.toml names, with the extras that bring it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in LEFT_OUT}
    found: dict[str, list[str]] = {}
    for extra, lines in {"core": project["dependencies"], **extras}.items():
        for line in lines:
            name = re.match(r"[\w.-]+", line)
            assert name is not None
            found.setdefault(name[0], []).append(extra)
            if "pyqt6" in line:
                found.setdefault("PyQt6", []).append(extra)
    return dict(sorted(found.items(), key=lambda one: one[0].lower()))


def licence_of(package: str) -> str:
    """What its metadata say, in short."""
    told = metadata(package)
    if expression := told.get("License-Expression"):
        return expression
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in told.get_all("Classifier") or ()
        if one.startswith("License :: OSI Approved ::")
    ]
    first = (told.get("License") or "").strip().partition("\n")[0]
    words = classifiers or [first or "see its page"]
    return " and ".join(sorted({SHORT.get(word, word) for word in words}))


def page() -> str:
    """The whole page."""
    rows = [
        f"| [{name}](https://pypi.org/project/{name}/) | {', '.join(extras)} | {licence_of(name)}"
        f"{' **(GPL kind)**' if 'GPL' in licence_of(name) else ''} |"
        for name, extras in packages().items()
    ]
    return HEAD + "\n".join(["| package | brought by | licence |", "|---|---|---|", *rows]) + "\n"


def main() -> int:
    """Write the page, or compare it."""
    try:
        text = page()
    except PackageNotFoundError as error:
        print(f"{error}: the page is made where all extras are installed: pip install -e '.[dev]'", file=sys.stderr)
        return 2
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
        return 0
    if PAGE.read_text("utf-8") != text:
        print(f"{PAGE.name} is not current: run python scripts/third_party.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
