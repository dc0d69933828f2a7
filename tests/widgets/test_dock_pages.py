"""The tables of the manual's page of each dock name the controls that the dock has, and all that are in sight."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QAbstractButton, QLabel, QWidget

import napari_hush as hush
from napari_hush.widgets.compare.dock import CompareWidget
from napari_hush.widgets.denoise.dock import DenoiseWidget
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.parts.bits import Words
from napari_hush.widgets.synthesize.dock import SynthesizeWidget
from napari_hush.widgets.train.dock import TrainWidget

PAGES = Path(__file__).parents[2] / "docs" / "docks"
DOCKS = {
    "compare": CompareWidget,
    "denoise": DenoiseWidget,
    "evaluate": EvaluateWidget,
    "synthesise": SynthesizeWidget,
    "train": TrainWidget,
}
UNNAMED = {"", "…", "Advanced"}  # a button beside a field that has a label, and what folds a part of the form
ROW = re.compile(r"^\| (.+?) \|", re.MULTILINE)


def told(page: str) -> set[str]:
    """The labels in the first columns of a page's tables."""
    text = (PAGES / f"{page}.md").read_text("utf-8")
    return {label for label in ROW.findall(text) if label != "label" and set(label) != {"-"}}


def there(dock: QWidget, *, in_sight: bool) -> set[str]:
    """The labels and buttons of a dock; a label that only says something is none."""
    parts = [*dock.findChildren(QAbstractButton), *dock.findChildren(QLabel)]
    names = [
        part.text().replace("&", "")
        for part in parts
        if not isinstance(part, Words) and (part.isVisibleTo(dock) or not in_sight)
    ]
    return {name for name in names if "\n" not in name} - UNNAMED


@pytest.mark.parametrize("page", DOCKS)
def test_a_dock_has_what_its_page_names_and_no_more_in_sight(page, qtbot):
    viewer = ViewerModel()
    viewer.add_image(hush.sample("stack").noisy[:, :64, :64], name="stack")
    dock = DOCKS[page](viewer)
    qtbot.addWidget(dock)
    assert told(page) - there(dock, in_sight=False) == set()
    assert there(dock, in_sight=True) - told(page) == set()


def test_every_dock_has_a_page():
    assert {page.stem for page in PAGES.glob("*.md")} == set(DOCKS)
    for page in DOCKS:
        assert len((PAGES / f"{page}.md").read_text("utf-8").split()) < 600
