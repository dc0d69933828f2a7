"""Tests of the small things that docks are made of."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hush.widgets.parts.bits import small_label


def test_words_are_never_cut_off(qtbot):
    box = QWidget()
    qtbot.addWidget(box)
    layout = QVBoxLayout(box)
    labels = [small_label() for _ in range(3)]
    for label in labels:
        layout.addWidget(label)
        label.setText("several words that need more than a single line in so narrow a dock " * 2)
        label.show()
    box.setFixedWidth(180)
    box.setMaximumHeight(200)  # too low for all of them
    box.show()
    qtbot.waitExposed(box)
    qtbot.waitUntil(lambda: all(label.height() >= label.heightForWidth(label.width()) for label in labels))
    labels[0].setText("short")
    assert labels[0].minimumHeight() < labels[1].minimumHeight()
