"""Findings as a table, and a verdict as one line: in words and symbols, with colour only on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_hush.reports import SYMBOLS
from napari_hush.widgets.parts.bits import StatusLabel
from napari_hush.widgets.parts.colours import ON_DARK, colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hush.fidelity.findings import Finding, Status

ROW = 24  # px
SHORT = 4  # letters of a unit that the narrow table has room for; "image units" is left to the tooltip


class VerdictLabel(StatusLabel):
    """One line that says how the checks went; hidden while there is nothing to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hide()

    def show_verdict(self, status: Status, text: str) -> None:
        """Say how it went: green, amber, orange, or grey where nobody could look.

        Parameters
        ----------
        status : {"pass", "warn", "fail", "open"}
            In one word.
        text : str
            In one line.
        """
        self._say(status, f"{SYMBOLS[status]} {text}", text)

    def show_words(self, text: str) -> None:
        """Say something that is no verdict; nothing hides the line."""
        self._say("open", text, text)

    def _say(self, status: str, text: str, hint: str) -> None:
        self.show_status(status, text)
        self.setToolTip(hint)
        self.setVisible(bool(text))


class FindingsTable(QTableWidget):
    """Checks, their values and what is allowed; a tooltip on each row says what it means."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 3, parent)
        self.setHorizontalHeaderLabels(["Check", "Value", "Allowed"])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setWordWrap(False)
        if (rows := self.verticalHeader()) is not None:
            rows.hide()
            rows.setDefaultSectionSize(ROW)
        if (columns := self.horizontalHeader()) is not None:
            columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            for column in (1, 2):
                columns.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            columns.setMinimumSectionSize(40)
        self._findings: Sequence[Finding] = ()
        self._background = ""
        self.hide()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        background = self.palette().window().color().name()
        if background != self._background and self._findings:
            self.show_findings(self._findings)

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Fill the table, failures first; what does not apply is named in the last row."""
        self._findings, self._background = findings, self.palette().window().color().name()
        order = {"fail": 0, "warn": 1, "pass": 2, "not judged": 3}
        rows = sorted((one for one in findings if one.verdict in order), key=lambda one: order[one.verdict])
        missing = [one.label for one in findings if one.verdict not in order]
        self.setRowCount(len(rows) + bool(missing))
        for row, finding in enumerate(rows):
            self._fill(row, finding)
        if missing:
            hint = "For lack of a truth, or of what they are about:\n" + "\n".join(missing)
            verb = "does" if len(missing) == 1 else "do"
            words = (f"{SYMBOLS['not measured']} {len(missing)} {verb} not apply", "", "")
            self._put(len(rows), words, hint, colour("open", self))
        self.setFixedHeight(ROW * (self.rowCount() + 1) + 8)  # all rows: the dock itself scrolls
        self.setVisible(bool(findings))

    def _fill(self, row: int, finding: Finding) -> None:
        verdict = finding.verdict
        allowed = finding.limit_text
        hint = f"{finding.label}: {finding.text}" + (f" ({allowed})" if allowed else "")
        hint = f"{hint}, {verdict}\n{finding.meaning}"
        words = (f"{SYMBOLS[verdict]} {finding.label}", _value(finding), _range(finding))
        self._put(row, words, hint, colour(verdict, self) if verdict in ON_DARK else "")

    def _put(self, row: int, words: Sequence[str], hint: str, shade: str) -> None:
        for column, text in enumerate(words):
            item = QTableWidgetItem(text)
            item.setToolTip(hint)
            if shade:
                item.setForeground(QColor(shade))
            self.setItem(row, column, item)


def _value(finding: Finding) -> str:
    """The value in three digits: the dock is narrow, and the tooltip has it all."""
    if finding.count:
        return f"{finding.value:,.0f}"
    unit = finding.unit if len(finding.unit) <= SHORT else ""
    return f"{finding.value:.3g} {unit}".strip()


def _range(finding: Finding) -> str:
    """The limits in signs."""
    low, high = finding.limits
    if low is not None and high is not None:
        return f"{low:.3g} … {high:.3g}"
    if low is None and high is None:
        return ""
    return f"≥ {low:.3g}" if high is None else f"≤ {high:.3g}"
