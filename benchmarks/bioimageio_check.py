"""Whether bioimageio.core, in an environment without napari-hush, reproduces the packages that we export.

Run ``python benchmarks/bioimageio_check.py``; it exports ``stem`` and a small CycleGAN generator to a temporary folder,
builds the environment there, and prints what ``bioimageio test`` says of each package. With ``--command PATH`` it
takes a ``bioimageio`` command that is there already. Exits with 1 if a package fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import torch

import napari_hush
from napari_hush.card import ModelCard
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

REQUIREMENTS = ["bioimageio.core", "onnxruntime", "torch", "pydantic<2.14"]  # core calls what pydantic 2.14 took away


def main() -> int:
    """Export, test, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", type=Path, help="a bioimageio command, instead of building an environment")
    given = parser.parse_args().command
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = given.absolute() if given else build(folder / "environment")
        for model in (napari_hush.load_model("stem"), make_cyclegan()):
            package = napari_hush.export(model, folder / f"{model.architecture}.zip", licence="BSD-3-Clause")
            print(f"# bioimageio test {package.name}", flush=True)
            environment = {**os.environ, "PYTHONWARNINGS": "ignore", "COLUMNS": "110"}
            code = subprocess.run([command, "test", package.name], cwd=folder, env=environment, check=False).returncode
            print(f"# exit code {code}", flush=True)
            failed += code != 0
    return int(failed > 0)


def build(folder: Path) -> Path:
    """An environment with bioimageio.core; its command."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return programs / "bioimageio"


def make_cyclegan() -> Model:
    """A generator with random weights."""
    torch.manual_seed(0)
    return Model.create(
        "cyclegan_resnet",
        {"in_channels": 3, "out_channels": 3, "width": 8, "blocks": 2},
        normalization=NormalizationRule(low=0.1, high=99.9, target=(-1.0, 1.0), clip=True),
        card=ModelCard(name="small CycleGAN", description="Random weights, for a test of the format."),
    )


if __name__ == "__main__":
    sys.exit(main())
