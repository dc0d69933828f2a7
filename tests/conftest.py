"""What several test files need."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from screen import why_no_qt

hypothesis.settings.register_profile("napari-hush", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("napari-hush")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Go on without pytest-qt where Qt cannot be loaded: it would end the run before the first test."""
    if why_no_qt():
        pluginmanager.set_blocked("pytest-qt")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and published models, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_HUSH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the test data are not in {folder}; set NAPARI_HUSH_DATA to their folder")
    return folder
