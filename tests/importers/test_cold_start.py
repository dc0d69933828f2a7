"""A model is loaded without what only training needs: that takes seconds before the first result."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
from importlib.resources import files
from napari_hush.importers.registry import load_model
names = [path.name.removesuffix(".safetensors") for path in files("napari_hush").joinpath("zoo").iterdir()
         if path.name.endswith(".safetensors")]
assert "general" in names
for name in names:
    load_model(name)
    if "torch._dynamo" in sys.modules:
        sys.exit(f"{name} started the compiler")
"""


def test_loading_does_not_start_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], check=False, timeout=300, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
