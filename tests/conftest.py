"""What several test files need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and published models, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_HUSH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the test data are not in {folder}; set NAPARI_HUSH_DATA to their folder")
    return folder
