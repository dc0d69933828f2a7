"""A new metric, finding or picture is one entry: figures, verdict, table, sheet and page follow."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_hush import evaluate, judge, sample
from napari_hush.cli import main
from napari_hush.errors import InputError
from napari_hush.fidelity.findings import LIMITS, Limit
from napari_hush.fidelity.metrics import METRICS, Metric
from napari_hush.fidelity.stacks import evaluate_steps
from napari_hush.fidelity.verdict import table
from napari_hush.io import write_image
from napari_hush.progress import drain
from napari_hush.reports.page import page
from napari_hush.reports.panels import png_bytes
from napari_hush.reports.pictures import PICTURES, Picture

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.fidelity.findings import Compared
    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.fidelity.verdict import Evidence

FIELD = sample("dented-lattice")
NOISY, CLEAN = FIELD.noisy[:96, :96], FIELD.clean[:96, :96].astype(float)
OUTPUT = CLEAN.copy()
OUTPUT[50, 50] += 3


def worst_pixel(image_true: np.ndarray, image_test: np.ndarray) -> float:
    return float(np.abs(image_true - image_test).max())


def worst_of_some(image_true: np.ndarray, image_test: np.ndarray, where: np.ndarray | None = None) -> float:
    error = np.abs(image_true - image_test)
    return float((error if where is None else error[where]).max())


def overshoot(compared: Compared) -> float:
    if compared.noisy is None:
        raise InputError("needs the noisy image")
    return 100 * max(float(compared.denoised.max() / compared.noisy.max()) - 1, 0)


@pytest.fixture
def metric(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Metric(worst_pixel, "Worst pixel", "image units", False, "The largest error of a pixel.")
    monkeypatch.setitem(METRICS, "worst", entry)


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Limit("Overshoot", "%", (None, 5), "Brightness beyond the brightest noisy pixel.", measure=overshoot)
    monkeypatch.setitem(LIMITS, "overshoot", entry)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for name, image in (("noisy", NOISY), ("denoised", OUTPUT), ("truth", CLEAN)):
        write_image(tmp_path / f"{name}.npy", image)
        paths.append(str(tmp_path / f"{name}.npy"))
    return paths


def found(evidence: Evidence, name: str) -> str:
    return next(one.verdict for one in evidence.findings if one.name == name)


@pytest.mark.usefixtures("metric")
def test_a_metric_is_measured_shown_and_never_judged() -> None:
    assert METRICS["worst"](CLEAN, OUTPUT) == pytest.approx(3)
    assert evaluate(None, OUTPUT, truth=CLEAN)["worst"] == pytest.approx(3)
    assert found(judge(None, OUTPUT, truth=CLEAN), "worst") == "not judged"
    assert "worst" not in evaluate(NOISY, OUTPUT)


@pytest.mark.usefixtures("metric")
def test_a_metric_that_cannot_leave_out_pixels_is_not_measured_on_gaps() -> None:
    gap = OUTPUT.copy()
    gap[3, 3] = np.nan
    evidence = judge(None, gap, truth=CLEAN)
    assert found(evidence, "worst") == "not measured"
    assert found(evidence, "psnr") == "not judged"


def test_a_metric_by_region_is_also_told_outside_dents_and_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Metric(worst_of_some, "Worst pixel", "image units", False, "The largest error of a pixel.", by_region=True)
    monkeypatch.setitem(METRICS, "worst", entry)
    through = np.ones_like(CLEAN)
    through[40:60, 40:60] = 0.5
    values = judge(None, OUTPUT, truth=CLEAN, transmission=through).as_dict()
    assert values["worst_dent"] == pytest.approx(3) and values["worst_lattice"] == pytest.approx(0)


@pytest.mark.usefixtures("metric", "finding")
def test_command_table_sheet_and_page_have_them(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, denoised, truth = files
    options = ["--truth", truth, "--csv", str(tmp_path / "a.csv"), "--report", str(tmp_path / "a.html")]
    main(["evaluate", noisy, denoised, *options])
    out = capsys.readouterr().out
    assert "Worst pixel" in out and "3 image units" in out and "Overshoot" in out and "at most 5 %" in out
    head, *rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert float(rows[0][head.index("Worst pixel (image units)")]) == pytest.approx(3)
    assert rows[0][head.index("Overshoot (%; at most 5 %)")] == "0"
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "The largest error of a pixel." in text and "Brightness beyond the brightest noisy pixel." in text


@pytest.mark.usefixtures("finding")
def test_a_finding_judges() -> None:
    bright = CLEAN.copy()
    bright[20, 20] = 2 * NOISY.max()
    evidence = judge(NOISY, bright)
    assert evidence.status == "fail" and "overshoot 100 % (at most 5 %)" in evidence.verdict
    assert "Overshoot" in table(evidence)
    assert evaluate(np.stack([NOISY, NOISY]), np.stack([bright, CLEAN]))["overshoot"] == pytest.approx(50)


@pytest.mark.usefixtures("finding")
def test_a_finding_without_what_it_needs_is_not_measured() -> None:
    assert found(judge(None, OUTPUT, truth=CLEAN), "overshoot") == "not measured"


def test_a_picture_is_in_the_page_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(evaluation: Evaluation) -> Picture | None:
        if evaluation.evidence.spacing is None:
            return None
        return Picture(title="A red square", caption="red", png=png_bytes(Image.new("RGB", (8, 8), "red")))

    monkeypatch.setitem(PICTURES, "square", draw)
    with_lattice = drain(evaluate_steps(NOISY, CLEAN))
    without = drain(evaluate_steps(np.ones((40, 40)), np.ones((40, 40))))
    for evaluation, there in ((with_lattice, True), (without, False)):
        assert ("A red square" in page(evaluation, title="t", files={}, date="2026-01-01")) == there


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name: str) -> None:
    entry = METRICS[name]
    assert entry.label and entry.meaning.endswith(".")
    assert entry.higher_is_better == (entry(CLEAN, CLEAN) > entry(CLEAN, CLEAN + np.eye(96)))
