"""How far a job is: counted where there are steps, estimated from the last job of its kind where there are none."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QPixmap

from napari_hush.progress import Progress
from napari_hush.widgets.parts import lasted, progress_line, recent
from napari_hush.widgets.parts.calm_bar import CalmBar
from napari_hush.widgets.parts.lasted import Kind
from napari_hush.widgets.parts.progress_line import ProgressLine

TIMEOUT = 300_000


@pytest.fixture
def clock(monkeypatch):
    now = {"now": 100.0}
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: now["now"])
    return now


@pytest.fixture
def line(qtbot):
    shown = ProgressLine()
    qtbot.addWidget(shown)
    return shown


def share(line):
    return line._bar.value() / line._bar.maximum()


def test_a_job_without_steps_goes_by_the_last_one_and_says_about(line, clock):
    line.start("loading…", expected=20.0)
    clock["now"] += 5
    line.show_progress(Progress(0, 1, "measuring the image"))
    assert share(line) == pytest.approx(0.25) and line.text == "measuring the image, about 0:15 left"
    clock["now"] += 5
    line._guess.timeout.emit()
    assert share(line) == pytest.approx(0.5) and line.text == "measuring the image, about 0:10 left"


def test_it_never_says_done_before_it_is(line, clock):
    line.start("loading…", expected=20.0)
    clock["now"] += 60
    line.show_progress(Progress(0, 1, "measuring"))
    assert share(line) < 1 and line.text == "measuring, longer than last time"


def test_steps_that_are_counted_count_more(line, clock):
    line.start("loading…", expected=1000.0)
    line.show_progress(Progress(30, 40, "tile 30 of 40"))
    assert share(line) == 0.75 and line.text == "tile 30 of 40" and not line._guess.isActive()


def test_without_an_estimate_nothing_is_estimated(line, clock):
    line.start("loading…")
    line.show_progress(Progress(0, 1, "measuring"))
    assert line._bar.busy and line.text == "measuring"
    line.finish("done")
    assert not line._guess.isActive() and line._bar.isHidden()


def test_what_lasted_is_kept_by_kind_and_size():
    kind = Kind("denoise, stem", 1_000_000)
    assert lasted.expected(kind) is None
    lasted.keep(kind, 8.0)
    assert lasted.expected(kind) == 8.0
    assert lasted.expected(Kind("denoise, stem", 2_000_000)) == 16.0
    assert lasted.expected(Kind("denoise, stem", 10_000_000)) is None
    assert lasted.expected(Kind("denoise, general", 1_000_000)) is None
    for number in range(lasted.MOST):
        lasted.keep(Kind(f"other {number}", 10), 1.0)
    assert lasted.expected(kind) is None and lasted.expected(Kind("other 0", 10)) == 1.0


@pytest.mark.parametrize("written", ["[]", "{", '{"a": [1]}', '{"a": ["x", 2]}', '{"a": [0, 1]}', '{"a": [5, NaN]}'])
def test_settings_that_somebody_edited_do_no_harm(written):
    settings = recent.make_settings()
    settings.setValue(lasted.KEY, written)
    settings.sync()
    assert lasted.expected(Kind("a", 5)) is None


def test_the_second_run_of_one_tile_is_estimated(make_widget, image, finish, qtbot):
    _, widget = make_widget(image)
    seen = []
    show = widget._progress.start
    widget._progress.start = lambda text, expected=None: (seen.append(expected), show(text, expected))
    for _ in range(2):
        widget.run()
        finish(widget)
        qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    widget.run()
    finish(widget)
    assert seen[0] is None and seen[2] > 0


def test_the_bar_that_does_not_know_is_drawn_by_no_style(qtbot):
    """A style would animate it as often as the screen is drawn."""
    bar = CalmBar()
    qtbot.addWidget(bar)
    bar.resize(200, 8)
    bar.setRange(0, 0)
    bar.show()
    drawn = []
    event = bar.paintEvent
    bar.paintEvent = lambda one: drawn.append(bar._at) or event(one)
    qtbot.wait(1100)
    assert 2 <= len(drawn) <= 8 and len(set(drawn)) > 1


def test_the_bar_is_as_long_as_the_share_that_is_done(qtbot):
    bar = CalmBar()
    qtbot.addWidget(bar)
    bar.resize(200, 8)
    bar.setRange(0, 4)

    def width(value):
        bar.setValue(value)
        picture = QPixmap(bar.size())
        bar.render(picture)
        row = [picture.toImage().pixelColor(x, 4) for x in range(200)]
        return sum(one == row[10] for one in row) if value else 0

    assert width(2) == pytest.approx(100, abs=6) and width(3) == pytest.approx(150, abs=6)
