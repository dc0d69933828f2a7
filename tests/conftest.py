"""What several test files need."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: more threads would only be in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NAPARI_HUSH_CACHE"] = "off"  # the user's is no test's business; those of the cache have one of their own

import hypothesis
import numpy as np
import pytest
import torch

from screen import why_no_qt

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is no failure, and what passes passes again: .ci/nightly looks for new examples.
hypothesis.settings.register_profile("napari-hush", deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", deadline=None)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Go on without pytest-qt where Qt cannot be loaded: it would end the run before the first test."""
    if why_no_qt():
        pluginmanager.set_blocked("pytest-qt")
    parser.addoption("--nightly", action="store_true", help="run what is marked as nightly, too, on new examples")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how hypothesis finds its examples."""
    hypothesis.settings.load_profile("nightly" if config.getoption("--nightly") else "napari-hush")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is left out."""
    return None if config.getoption("--nightly") else "left out: tests marked as nightly (run them with --nightly)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked as nightly; not by ``-m``, which another ``-m`` would replace."""
    if config.getoption("--nightly"):
        return
    left_out = [item for item in items if item.get_closest_marker("nightly")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("nightly")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` means: at most four, each of which loads torch and napari for itself."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def seed_everything() -> None:
    """The global generators start anew: no test depends on those that ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - it is the global one that is meant
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Whatever a test draws without a generator of its own is the same in every run."""
    seed_everything()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
    """The same for fixtures of a module or a session, which are made before those of a test."""
    if fixturedef.scope != "function":
        seed_everything()
    return (yield)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and published models, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_HUSH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the test data are not in {folder}; set NAPARI_HUSH_DATA to their folder")
    return folder
