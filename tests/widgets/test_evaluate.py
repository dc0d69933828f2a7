"""The dock widget Evaluate, as a user drives it, and the verdict in the dock Denoise."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Vectors
from scipy import ndimage

from napari_hush import sample
from napari_hush.fidelity.stacks import EvaluationSettings
from napari_hush.reports import SYMBOLS
from napari_hush.widgets.evaluate.dock import EvaluateWidget
from napari_hush.widgets.evaluate.table import VerdictLabel
from napari_hush.widgets.parts.colours import colour
from napari_hush.widgets.parts.layer_record import read_given_back
from napari_hush.widgets.parts.layer_source import Source
from napari_hush.widgets.parts.recent import remember
from napari_hush.widgets.parts.tabs import raise_dock

FIELD = sample("dented-lattice")
NOISY, CLEAN = (image[:96, :96] for image in (FIELD.noisy, FIELD.clean))
LOSSY = CLEAN.copy()
LOSSY[30:60, 30:60] = CLEAN.mean()
TIMEOUT = 300_000


@pytest.fixture
def make(qtbot):
    """Give a viewer with a noisy and a denoised layer, and the widget."""
    widgets = []

    def build(noisy=NOISY, denoised=CLEAN, **options):
        viewer = ViewerModel()
        viewer.add_image(noisy, name="scan", **options)
        if denoised is not None:
            record = {"source_layer": "scan", "model": "tiny"}
            viewer.add_image(denoised, name="scan · tiny", metadata={"napari-hush": record}, **options)
        widget = EvaluateWidget(viewer)
        qtbot.addWidget(widget)
        widgets.append(widget)
        return viewer, widget

    yield build
    for widget in widgets:
        widget.cancel()
        qtbot.waitUntil(lambda widget=widget: not widget.running, timeout=TIMEOUT)


def box(widget, what):
    return widget._evidence._boxes[what]


def test_it_finds_the_pair_and_judges_it(make, finish):
    viewer, widget = make(scale=(0.03, 0.03), translate=(2, 3), units=("nm", "nm"), axis_labels=("y", "x"))
    assert (widget._choice.noisy.currentText(), widget._choice.denoised.currentText()) == ("scan", "scan · tiny")
    widget.run()
    finish(widget)
    assert widget.evaluation.passed
    assert widget._verdict.text().startswith("✓ What was taken away is noise at every scale")
    assert " columns kept" in widget._verdict.text()
    rows = [widget._table.item(row, 0).text() for row in range(widget._table.rowCount())]
    assert "✓ Columns lost" in rows
    assert "at most 0" in widget._table.item(rows.index("✓ Columns lost"), 0).toolTip()
    (points,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert len(points.data) == len(widget.evaluation.evidence.kept)
    for name in ("scale", "translate"):
        np.testing.assert_allclose(getattr(points, name), getattr(viewer.layers["scan"], name))
    for name in ("units", "axis_labels"):
        assert getattr(points, name) == getattr(viewer.layers["scan"], name)
    assert viewer.layers.selection.active == viewer.layers["scan · tiny"]


def test_a_failure_comes_first_and_is_marked(make, finish):
    viewer, widget = make(denoised=LOSSY)
    widget.run()
    finish(widget)
    assert widget._verdict.text().startswith("✗")
    assert widget._table.item(0, 0).text().startswith("✗")
    (points,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    lost = np.asarray(points.data)[np.asarray(points.features["fate"]) == "lost"]
    assert len(lost) and ((lost > 25) & (lost < 65)).all()


def test_evidence_comes_and_goes_with_its_box(make, finish):
    viewer, widget = make(scale=(0.5, 0.5))
    widget.run()
    finish(widget)
    for what in ("displacement", "residual"):
        box(widget, what).setChecked(True)
    (vectors,) = (layer for layer in viewer.layers if isinstance(layer, Vectors))
    assert "×" in vectors.name  # noqa: RUF001 - times
    residual = viewer.layers["noisy - denoised"]
    np.testing.assert_allclose(residual.data, NOISY - CLEAN, atol=1e-3)
    assert residual.contrast_limits[0] == -residual.contrast_limits[1]
    np.testing.assert_array_equal(residual.scale, (0.5, 0.5))
    box(widget, "displacement").setChecked(False)
    viewer.layers.remove(residual)  # by hand
    assert not box(widget, "residual").isChecked()
    assert not any(isinstance(layer, Vectors) for layer in viewer.layers)
    count = len(viewer.layers)
    widget.run()
    finish(widget)
    assert len(viewer.layers) == count  # replaced, not added


def test_missing_and_contradicted_lie_where_the_result_is_wrong(make, finish):
    y, x = np.indices(CLEAN.shape)
    spots = [3 * np.exp(-((y - at) ** 2 + (x - at) ** 2) / 18) for at in (25, 70)]
    viewer, widget = make(np.stack([NOISY] * 2), np.stack([CLEAN, CLEAN - spots[0] + spots[1]]), scale=(2, 0.5, 0.5))
    viewer.dims.set_point(0, 2)
    widget.run()
    finish(widget)
    for what, at in (("missing", 25), ("contradicted", 70)):
        box(widget, what).setChecked(True)
        (layer,) = (one for one in viewer.layers if one.name.startswith(what))
        assert layer.data.shape == (1, 96, 96) and tuple(layer.translate) == (2, 0, 0)
        place = np.unravel_index(layer.data[0].argmax(), CLEAN.shape)
        assert np.hypot(*np.subtract(place, at)) < 5
        assert layer.contrast_limits[0] == 3 and layer.contrast_limits[1] >= layer.data.max() > 5
        threshold = widget.evaluation.evidence.residual.threshold
        assert layer.name == f"{what}, σ (noise alone: up to {threshold:.1f})"
    assert not box(widget, "given back").isEnabled()


def test_support_falls_where_detail_was_made_up(make, finish):
    truth = CLEAN.copy()
    truth[:, 48:] = CLEAN.mean()  # the result shows its lattice there, too
    viewer, widget = make(truth + np.random.default_rng(0).normal(0, 1, truth.shape))
    widget.run()
    finish(widget)
    box(widget, "support").setChecked(True)
    layer = viewer.layers["support, σ"]
    assert tuple(layer.contrast_limits) == (0, 5) and layer.data.max() <= 5
    assert np.median(layer.data[:, 8:40]) > 2 > np.median(layer.data[:, 56:88])


def test_what_cannot_be_told_from_noise_has_no_layers(make, finish):
    _, widget = make(ndimage.gaussian_filter(NOISY, 1.5))
    widget.run()
    finish(widget)
    assert not any(box(widget, what).isEnabled() for what in ("missing", "contradicted", "support"))
    assert box(widget, "residual").isEnabled()


def test_what_was_given_back_goes_from_denoise_to_evaluate(make_widget, finish, qtbot):
    viewer, widget = make_widget(NOISY, scale=(0.5, 0.5), translate=(3, 4))
    widget.run()
    finish(widget)
    given = read_given_back(viewer.layers[1].metadata, NOISY.shape)
    assert "; given back: " in widget._progress.text
    assert given is not None and given.any()  # by the tiny network of the tests hardly anything is kept
    evaluate = EvaluateWidget(viewer)
    qtbot.addWidget(evaluate)
    evaluate.run()
    finish(evaluate)
    box(evaluate, "given back").setChecked(True)
    layer = viewer.layers["given back"]
    np.testing.assert_array_equal(layer.data, given)
    assert tuple(layer.translate) == (3, 4) and tuple(layer.scale) == (0.5, 0.5)
    assert layer.contrast_limits[0] == -layer.contrast_limits[1] < 0
    viewer.layers[1].data = CLEAN[:50]  # of another shape: it is no longer that image
    assert read_given_back(viewer.layers[1].metadata, CLEAN[:50].shape) is None


def test_planes_of_a_stack(make, finish, tmp_path):
    viewer, widget = make(np.stack([NOISY] * 3), np.stack([CLEAN, LOSSY, CLEAN]), scale=(2, 1, 1))
    viewer.dims.set_point(0, 4)
    widget.run()
    finish(widget)
    assert [plane.index for plane in widget.evaluation.planes] == [(2,)]
    widget._choice.planes.setCurrentText("all of them")
    widget.run()
    finish(widget)
    assert len(widget.evaluation.planes) == 3
    assert widget.evaluation.worst.index == (1,)
    assert "plane 1" in widget._of.text()
    (points,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert set(points.data[:, 0]) == {1.0}
    assert viewer.dims.point[0] == 2.0  # it goes to the plane that the evidence is of
    box(widget, "residual").setChecked(True)
    np.testing.assert_array_equal(viewer.layers["noisy - denoised"].translate, (2, 0, 0))
    widget.ask_path = lambda ending: str(tmp_path / "m")
    widget.save_csv()
    finish(widget)
    rows = list(csv.reader((tmp_path / "m.csv").read_text().splitlines()))
    assert [row[:2] for row in rows[1:]] == [["0", "pass"], ["1", "fail"], ["2", "pass"], ["all", "fail"]]


def test_truth_of_a_layer_or_of_the_sample(make, finish):
    viewer, widget = make(metadata={"clean": CLEAN}, denoised=None)
    viewer.add_image(LOSSY, name="result")
    widget._choice.choose(viewer.layers["scan"], viewer.layers["result"])
    assert not widget._choice.own.isHidden()
    widget._choice.own.setChecked(True)
    widget.run()
    finish(widget)
    assert "truth" in widget.evaluation.images
    viewer.add_image(CLEAN + 1, name="known")
    widget._choice.truth.layer = viewer.layers["known"]
    assert widget._choice.own.isHidden()
    widget.run()
    finish(widget)
    np.testing.assert_allclose(widget.evaluation.images["truth"], CLEAN + 1)
    assert widget._of.text() == ""
    widget._choice.form.value = EvaluationSettings(match=True)
    widget.run()
    finish(widget)
    assert widget._of.text().startswith("truth matched: gain ") and ", offset -" in widget._of.text()
    np.testing.assert_allclose(widget.evaluation.images["truth"], CLEAN, atol=0.5)  # jitter dims


def test_rows_that_do_not_apply_are_one_line(make, finish):
    _, widget = make()
    widget.run()
    finish(widget)
    rows = [widget._table.item(row, 0) for row in range(widget._table.rowCount())]
    missing = [one.label for one in widget.evaluation.evidence.findings if one.text == "-"]
    assert missing and rows[-1].text() == f"— {len(missing)} {'do' if len(missing) > 1 else 'does'} not apply"
    assert all(label in rows[-1].toolTip() for label in missing)
    assert not any(label == row.text()[2:] for label in missing for row in rows)


def test_what_cannot_be_compared_disables_the_button(make):
    viewer, widget = make(denoised=None)
    assert not widget._evaluate.isEnabled()
    viewer.add_image(CLEAN[:50], name="short")
    widget._choice.choose(viewer.layers["scan"], viewer.layers["short"])
    assert "shapes differ" in widget._evaluate.toolTip()
    viewer.layers["short"].data = CLEAN
    assert widget._evaluate.isEnabled()


def test_layers_may_go_while_it_runs(make, finish):
    viewer, widget = make()
    widget.run()
    viewer.layers.clear()
    finish(widget)
    assert widget.evaluation.passed
    assert not widget._evaluate.isEnabled()


def test_cancel_between_planes(make, finish):
    _, widget = make(np.stack([NOISY] * 40), np.stack([CLEAN] * 40))
    widget._choice.planes.setCurrentText("all of them")
    widget.run()
    widget.cancel()
    assert widget._cancel.text() == "Cancelling…"
    finish(widget)
    assert widget.evaluation is None
    assert widget._progress.text == "cancelled"


def test_side_by_side_and_back(make, finish):
    viewer, widget = make()
    widget.run()
    finish(widget)
    scan, result = viewer.layers["scan"], viewer.layers["scan · tiny"]
    scan.contrast_limits, result.contrast_limits = (0, 30), (0, 12)
    widget._sides.setChecked(True)
    assert viewer.canvas.grid.enabled
    assert [layer.name for layer in viewer.layers if layer.visible] == ["scan", "scan · tiny", "noisy - denoised"]
    assert scan.contrast_limits == [0, 12]
    result.contrast_limits = (0, 9)
    assert scan.contrast_limits == [0, 9]
    viewer.layers.remove("noisy - denoised")
    widget._sides.setChecked(False)
    assert not viewer.canvas.grid.enabled
    assert all(layer.visible for layer in viewer.layers)
    assert scan.contrast_limits == [0, 30]
    result.contrast_limits = (0, 8)
    assert scan.contrast_limits == [0, 30]


def test_side_by_side_shows_its_own_layers_in_full_and_takes_its_residual_away(make, finish):
    viewer, widget = make(scale=(0.01, 0.01))
    viewer.add_image(NOISY, name="large", scale=(100, 100))
    widget._choice.choose(viewer.layers["scan"], viewer.layers["scan · tiny"])
    widget.run()
    finish(widget)
    widget._sides.setChecked(True)
    assert viewer.layers["noisy - denoised"].visible
    assert viewer.scene.camera.zoom > 100  # pixels of the canvas per unit: the layers are one unit wide
    widget._sides.setChecked(False)
    assert "noisy - denoised" not in viewer.layers
    box(widget, "residual").setChecked(True)
    widget._sides.setChecked(True)
    widget._sides.setChecked(False)
    assert "noisy - denoised" in viewer.layers  # somebody had asked for it


def test_details_again_bring_their_pair_to_the_front(make_widget, finish, qtbot):
    viewer, widget = make_widget(NOISY, window=True)
    widget.run()
    finish(widget)
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    widget.show_details()
    _, evaluate = viewer.window.add_plugin_dock_widget("napari-hush", "Evaluate")
    finish(evaluate)
    evaluate._choice.choose(viewer.layers["noisy · tiny"], viewer.layers["noisy"])  # something else
    raise_dock(widget)
    qtbot.waitUntil(lambda: evaluate.visibleRegion().isEmpty(), timeout=TIMEOUT)
    widget._verdict._button.click()
    qtbot.waitUntil(lambda: not evaluate.visibleRegion().isEmpty(), timeout=TIMEOUT)
    assert (evaluate._choice.noisy.currentText(), evaluate._choice.denoised.currentText()) == ("noisy", "noisy · tiny")
    evaluate.look_at(viewer.layers["noisy"], viewer.layers["noisy · tiny"])  # while that is being checked
    assert evaluate.running
    qtbot.waitUntil(lambda: not evaluate.running and not evaluate._again, timeout=TIMEOUT)
    assert evaluate.evaluation.verdict == widget._verdict.text[2:]


def test_report(make, finish, tmp_path):
    _, widget = make()
    widget.run()
    finish(widget)
    widget.ask_path = lambda ending: str(tmp_path / "report")
    widget.save_report()
    finish(widget)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "✓ PASS" in text and "scan · tiny against scan" in text and "model: tiny" in text


def test_denoise_says_what_was_kept_and_opens_the_details(make_widget, finish, qtbot, messages):
    viewer, widget = make_widget(NOISY, window=True)
    widget.run()
    finish(widget)
    assert len(viewer.layers) == 2  # the result does not wait for its verdict
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    assert widget._verdict.text[0] in "✓✗"
    widget.show_details()
    _, evaluate = viewer.window.add_plugin_dock_widget("napari-hush", "Evaluate")
    finish(evaluate)
    assert evaluate.evaluation.verdict == widget._verdict.text[2:]
    viewer.layers.remove("noisy")
    widget.show_details()
    assert any("removed" in text for _, text in messages())


def test_the_dock_tells_the_finest_detail_as_a_length(make_widget, finish, qtbot):
    _, widget = make_widget(NOISY, scale=(0.03, 0.03), units=("nm", "nm"))
    widget._verdict.begin(Source.of(widget._layers.layer), CLEAN, ())
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    assert widget._verdict.text.startswith("✓ ")
    assert " nm is carried by the counts" in widget._verdict.text


def test_what_cannot_be_judged_is_no_pass(make_widget, finish, qtbot):
    _, widget = make_widget(NOISY[:40, :40])
    widget.run()
    finish(widget)
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    assert widget._verdict.text.startswith("• No verdict: ") and "smaller than 48 px" in widget._verdict.text
    assert colour("open", widget) in widget._verdict._label.styleSheet()


def test_the_verdict_is_a_traffic_light(qtbot):
    label = VerdictLabel()
    qtbot.addWidget(label)
    colours = set()
    for status in ("pass", "warn", "fail", "open"):
        label.show_verdict(status, "words")
        assert label.text() == f"{SYMBOLS[status]} words" and colour(status, label) in label.styleSheet()
        colours.add(colour(status, label))
    assert len(colours) == 4


def test_noise_that_was_kept_is_a_warning_in_amber(make, finish):
    _, widget = make(denoised=(NOISY + CLEAN) / 2)
    widget.run()
    finish(widget)
    assert widget._verdict.text().startswith("! ") and "of the noise is still in the output" in widget._verdict.text()
    assert colour("warn", widget) in widget._verdict.styleSheet()
    assert widget._table.item(0, 0).text() == "! Noise kept"
    assert widget._table.item(0, 0).foreground().color().name() == colour("warn", widget)


def test_a_check_that_fails_loses_nothing(make_widget, finish, qtbot):
    image = NOISY.copy()
    image[:60] = np.nan
    viewer, widget = make_widget(image)
    widget.run()
    finish(widget)
    qtbot.waitUntil(lambda: not widget._verdict.running, timeout=TIMEOUT)
    assert [layer.name for layer in viewer.layers] == ["noisy", "noisy · tiny"]
    assert widget._verdict.text.startswith("not checked: more than half")


def test_uncertainty_of_the_plane_in_sight(make, finish, model_file):
    remember(model_file)
    viewer, widget = make(np.stack([NOISY] * 3), np.stack([CLEAN] * 3), scale=(2, 0.5, 0.5), units=("s", "nm", "nm"))
    viewer.dims.set_point(0, 4)
    for _ in range(2):  # the second one takes the place of the first
        widget.map_uncertainty()
        finish(widget)
    (layer,) = (one for one in viewer.layers if "uncertainty" in one.name)
    assert layer.name == "scan · tiny uncertainty" and layer.data.shape == (1, 96, 96)
    for name, expected in (("translate", (4, 0, 0)), ("scale", (2, 0.5, 0.5)), ("units", viewer.layers["scan"].units)):
        assert tuple(getattr(layer, name)) == tuple(expected)
    assert layer.contrast_limits[0] == 0 and layer.contrast_limits[1] == pytest.approx(np.percentile(layer.data, 99.5))
    assert (layer.data > 0).any()
    widget.map_uncertainty()
    viewer.layers.remove(layer)
    widget.cancel()
    finish(widget)
    assert len(viewer.layers) == 2
    assert widget._progress.text == "cancelled"


def test_uncertainty_needs_the_model(make):
    viewer, widget = make()
    assert not widget._map.isEnabled()
    assert "'tiny' is neither bundled" in widget._map.toolTip()
    viewer.add_image(CLEAN, name="foreign")
    widget.choose(viewer.layers["scan"], viewer.layers["foreign"])
    assert widget._evaluate.isEnabled() and not widget._map.isEnabled()
    assert "does not say which model" in widget._map.toolTip()


def test_a_second_measurement_tells_the_error(make, finish, tmp_path):
    viewer, widget = make()
    viewer.add_image(np.random.default_rng(5).poisson(np.maximum(CLEAN, 0)).astype(np.float32), name="again")
    widget._choice.repeats.layer = viewer.layers["again"]
    widget.run()
    finish(widget)
    assert widget.evaluation.repeats.frames == 2
    assert "from 2 measurements of the field" in widget._of.text() and "PSNR from repeats" in widget._of.text()
    widget.ask_path = lambda ending: str(tmp_path / f"r{ending}")
    widget.save_csv()
    finish(widget)
    assert "MSE from repeats" in (tmp_path / "r.csv").read_text("utf-8")


def test_an_error_stays_to_be_read_and_the_verdict_before_is_not_taken_for_its_own(make, finish, messages):
    viewer, widget = make()
    widget.run()
    finish(widget)
    viewer.add_image(NOISY[:50], name="short")
    widget._choice.repeats.layer = viewer.layers["short"]
    widget.run()
    finish(widget)
    assert any("further ones of the same shape" in text for _, text in messages())
    assert "further ones of the same shape" in widget._message.text and "of the run before" in widget._of.text()
    widget._choice.repeats.layer = None
    widget.run()
    finish(widget)
    assert widget._of.text() == ""
