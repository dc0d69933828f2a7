"""Fail unless an installation without any extra denoises, trains on one device, and names the extras that it lacks.

Run it with the Python of that environment, in an empty folder::

    cd "$(mktemp -d)" && .../bin/python .ci/check_core.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import napari_hush
from napari_hush.io import read_image, write_image

SMALL = ("--steps", "2", "--patch", "32", "--network-options", "width = 4", "--device", "cpu")
LEFT_OUT = ("dask", "lightning_fabric", "napari", "onnxruntime", "openvino", "pydicom", "rsciio")


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run napari-hush as a person would."""
    program = Path(sys.executable).with_name("napari-hush")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, env=os.environ | environment, timeout=300, check=False
    )


def expect(holds: bool, what: str) -> None:
    """End with what does not hold."""
    if not holds:
        sys.exit(f"the core alone: {what}")


def main() -> None:
    """Go through what the core must do."""
    there = [name for name in LEFT_OUT if find_spec(name)]
    expect(not there, f"this environment should be without {there}")
    told = command("--version").stdout.strip()
    expect(told == f"napari-hush {napari_hush.__version__}", f"--version says {told!r}")

    write_image("scan.tif", napari_hush.sample("dented-lattice").noisy[:256, :256], pixel_size=0.02)
    done = command("denoise", "scan.tif", "--device", "cpu")
    expect(done.returncode == 0 and read_image("scan_denoised.tif").data.shape == (256, 256), done.stderr)
    done = command("train", "noise2void", "scan.tif", "-o", "one.safetensors", *SMALL)
    expect(done.returncode == 0 and Path("one.safetensors").exists(), done.stderr)

    for words, environment, extra in (
        (("train", "noise2void", "scan.tif", "-o", "two.safetensors", *SMALL), {"WORLD_SIZE": "2"}, "train"),
        (("denoise", "scan.tif", "-o", "a.tif", "--engine", "openvino"), {}, "fast"),
        (("denoise", "scan.tif", "-o", "b.tif", "--cluster", "local:2"), {}, "cluster"),
        (("demo", "--output", "demo", "--napari"), {}, "napari"),
    ):
        done = command(*words, **environment)
        expect(done.returncode == 2, f"{' '.join(words)} ends with {done.returncode}: {done.stderr}")
        expect(f"napari-hush[{extra}]" in done.stderr, f"no extra {extra} in: {done.stderr}")
        expect("Traceback" not in done.stderr, done.stderr)
    print(f"napari-hush {napari_hush.__version__} without extras: as it should be")


if __name__ == "__main__":
    main()
