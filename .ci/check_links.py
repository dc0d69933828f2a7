"""Whether the links of the pages that lead out of them are answered.

    python .ci/check_links.py [--seconds 20]

Links inside of the manual are mkdocs' to check. An address that answers "not found" or "gone", on a server that knows
another one, is a fault; what cannot be reached, or refuses programs, is told and counts for nothing. The project's own
address is left out: it is checked where a release is made.
"""

from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/napari_hush/zoo/*.md"), ROOT / "CITATION.cff"]
LINK = re.compile(r"https?://[^\s<>\"'`|]+")
OWN = ("https://github.com/napari-hush/", "http://localhost", "http://127.0.0.1")
GONE = (404, 410)


def main() -> int:
    """Look them all up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="to wait for an answer")
    args = parser.parse_args()
    where: dict[str, set[str]] = {}
    for page in PAGES:
        for link in LINK.findall(page.read_text("utf-8")):
            if not link.startswith(OWN):
                where.setdefault(whole(link), set()).add(str(page.relative_to(ROOT)))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(partial(answer, seconds=args.seconds), where))
    there = {host_of(link) for link, said in zip(where, answers, strict=True) if said == 200}
    lost = 0
    for link, said in zip(where, answers, strict=True):
        if said in GONE and host_of(link) in there:
            lost += 1
            print(f"{said}: {link} in {', '.join(sorted(where[link]))}")
        elif said != 200:
            print(f"not known ({said}): {link}")
    print(f"{len(where)} links, {answers.count(200)} answered, {lost} lost")
    return 1 if lost else 0


def whole(link: str) -> str:
    """A link without what ends the sentence or the brackets that it stands in."""
    link = link.rstrip(".,;:!?*")
    while link.endswith(")") and link.count("(") < link.count(")"):
        link = link[:-1].rstrip(".,;:")
    return link.partition("#")[0]


def host_of(link: str) -> str:
    """The server of a link."""
    return "/".join(link.split("/")[:3]) + "/"


def answer(link: str, seconds: float) -> int | str:
    """The status of an address, or why there is none."""
    try:
        with urlopen(Request(link, headers={"User-Agent": "Mozilla/5.0 (links of a manual)"}), timeout=seconds) as page:
            return int(page.status)
    except HTTPError as error:
        return error.code
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
