"""Run the tutorials as a reader would, block after block, and say what each one takes.

    python benchmarks/tutorials.py
    python benchmarks/tutorials.py train-your-own --keep build/tutorials

Every tutorial begins in an empty folder. Its commands and its Python run in their order, without those marked as not
run. An action is a command or a block of Python. Wall time is that of the machine as it is, CPU time that of all
threads; words are those of the page, code and captions included.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(
    r"^(?P<mark> *<!-- not run: [^\n]* -->\n)?"
    r"(?P<indent> *)```(?P<language>bash|python)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
VERDICTS = {0, 1, 3, 4}  # evaluate says by its exit code what it found


@dataclass(frozen=True)
class Taken:
    """What a tutorial took: seconds, and how many commands and blocks of Python."""

    wall: float
    cpu: float
    actions: int


def actions(page: Path) -> list[list[str]]:
    """The command lines of a page, in their order; a block of Python is one."""
    found = []
    for block in BLOCK.finditer(page.read_text("utf-8")):
        if block["mark"]:
            continue
        code = dedent(block["code"])
        if block["language"] == "python":
            found.append([sys.executable, "-c", code])
            continue
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["napari-hush"]:
                found.append([sys.executable, "-m", "napari_hush.cli", *words[1:]])
            elif words:
                raise ValueError(f"{page.name}: expected a napari-hush command, got {line!r}; mark it as not run")
    return found


def run_page(page: Path, folder: Path) -> Taken:
    """Run all of a page in a folder; an action that fails ends it with what it said."""
    before, start = _cpu(), time.monotonic()
    todo = actions(page)
    with chdir(folder):
        for words in todo:
            done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=False)
            allowed = VERDICTS if "evaluate" in words[:4] else {0}
            if done.returncode not in allowed:
                shown = words[-1] if words[1] == "-c" else shlex.join(words[3:])
                raise RuntimeError(f"{page.name}: {shown}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
            print(done.stdout, end="", file=sys.stderr)
    return Taken(time.monotonic() - start, _cpu() - before, len(todo))


def count_words(page: Path) -> int:
    return sum(any(map(str.isalnum, word)) for word in page.read_text("utf-8").split())


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="pages without .md; all if none is given")
    parser.add_argument(
        "--keep", type=Path, help="leave the files of each tutorial in a folder of its name in this one"
    )
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores\n| tutorial | actions | wall time, s | CPU time, s | words |\n|---|---|---|---|---|")
    for page in PAGES:
        if arguments.names and page.stem not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = arguments.keep / page.stem if arguments.keep else Path(scratch)
            folder.mkdir(parents=True, exist_ok=not arguments.keep)
            taken = run_page(page, folder)
        words = count_words(page)
        print(f"| {page.stem} | {taken.actions} | {taken.wall:.0f} | {taken.cpu:.0f} | {words} |", flush=True)


if __name__ == "__main__":
    main()
