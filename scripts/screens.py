"""Shrink the pictures of the tour of the docks for the manual.

bash .ci/xvfb.sh python benchmarks/tour.py --out build/tour --runs 0
python scripts/screens.py build/tour docs/images/tour
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

SCREENS = (
    "opened",
    "denoise",
    "denoised",
    "curtain",
    "what_is_my_image",
    "details",
    "preview",
    "train",
    "profile",
    "target",
)
MOST = 150_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tour", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in SCREENS:
        (path,) = args.tour.glob(f"[0-9][0-9]_{name}.png")
        shrunk = args.out / f"{name.replace('_', '-')}.webp"
        for quality in range(90, 20, -5):
            Image.open(path).convert("RGB").save(shrunk, quality=quality, method=6)
            if shrunk.stat().st_size < MOST:
                break
        print(f"{shrunk}: {shrunk.stat().st_size / 1000:.0f} kB at quality {quality}")


if __name__ == "__main__":
    main()
