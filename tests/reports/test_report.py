"""The report and the sheet: complete, self-contained, and the same for the same input."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_hush import InputError, sample
from napari_hush.fidelity.findings import Finding, finding
from napari_hush.fidelity.stacks import Evaluation, EvaluationSettings, PlaneResult, evaluate_steps
from napari_hush.fidelity.verdict import Evidence
from napari_hush.reports.page import STYLE, page
from napari_hush.reports.pictures import FATES, arrows, pictures
from napari_hush.reports.sheet import sheet
from napari_hush.residual.compare import no_residual

SHAPE = (96, 120)
NONE = np.zeros((0, 2))
UNKNOWN = "its noise is spikes"


def evidence(shape: tuple[int, int] = SHAPE, **given: Any) -> Evidence:
    rng = np.random.default_rng(0)
    values = {"columns_lost": 0.0, "missing_detail": 4.0, "phantom_lattice": np.nan} | given.pop("values", {})
    parts: dict[str, Any] = {
        "findings": tuple(finding(name, value) for name, value in values.items()),
        "spacing": 12.0,
        "kept": np.array([[30.0, 40.0]]),
        "lost": NONE,
        "new": NONE,
        "moved": NONE,
        "displacement": np.full((2, *shape), 0.1),
        "phantom": np.full(shape, np.nan),
        "residual": no_residual(rng.normal(size=shape), UNKNOWN),
    }
    return Evidence(**parts | given)


def evaluation(*found: Evidence, worst: int = 0, truth: bool = False) -> Evaluation:
    found = found or (evidence(),)
    shape = found[worst].residual.difference.shape
    rng = np.random.default_rng(1)
    planes = tuple(
        PlaneResult(
            index=(k,) if len(found) > 1 else (),
            findings=one.findings + (scores(30.0 + k) if truth else ()),
            verdict=one.verdict,
        )
        for k, one in enumerate(found)
    )
    images = {"noisy": rng.poisson(20, shape).astype(float), "denoised": rng.normal(20, 1, shape)}
    return Evaluation(planes=planes, worst=planes[worst], evidence=found[worst], images=images)


def scores(psnr: float) -> tuple[Finding, ...]:
    return tuple(finding(name, v) for name, v in {"psnr": psnr, "ssim": 0.9, "mse": np.nan, "mae": 1.0}.items())


def make_page(result: Evaluation, **given: Any) -> str:
    options: dict[str, Any] = {"title": "a title", "files": {"noisy": {"file": "a.tif"}}, "date": "2026-01-01"}
    return page(result, **options | given)


class Tags(HTMLParser):
    """Checks that every tag is closed, and gathers attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_needs_nothing_else() -> None:
    text = make_page(evaluation())
    tags = Tags(text)
    assert tags.open == []
    assert "script" not in {tag for tag, _ in tags.found}
    sources = [attrs["src"] for tag, attrs in tags.found if tag == "img"]
    assert sources and all(source is not None and source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?:|url\(|@import|href=", text)


def test_page_tells_verdict_files_checks_and_command() -> None:
    bad = evidence(values={"columns_lost": 3.0}, lost=np.array([[20.0, 30.0]]))
    text = make_page(evaluation(bad), made_by="napari-hush evaluate a.tif b.tif")
    for words in ("✗ FAIL: 1 of 2 checks failed", "at most 6 σ", "4 σ", "a.tif", "2026-01-01", "evaluate a.tif"):
        assert words in text, words
    assert "Phantom lattice" in text.partition("Do not apply")[2]
    good = make_page(evaluation())
    assert "✓ PASS" in good and 'class="verdict pass"' in good


def test_a_warning_is_amber_on_the_page() -> None:
    text = make_page(evaluation(evidence(values={"noise_kept": 40.0})))
    assert "! WARN: 40 % of the noise" in text and 'class="verdict warn"' in text
    assert 'class="word warn">! warn</td><td>Noise kept' in text
    assert {".warn", ".open", ".verdict.warn", ".verdict.open"} <= set(re.findall(r"\.[a-z.]+(?=[ ,])", STYLE))


def test_page_and_sheet_of_what_nobody_could_judge_are_grey() -> None:
    bare = evidence(values={"columns_lost": np.nan, "missing_detail": np.nan, "lowpass_slope": 1.0}, spacing=None)
    text = make_page(evaluation(bare))
    assert f"• No verdict: the columns found, 1, are kept; nothing else was looked at: {UNKNOWN}" in text
    assert 'class="verdict open"' in text and "PASS" not in text
    rows = list(csv.reader(io.StringIO(sheet(evaluation(evidence(), bare, worst=1)).decode())))
    assert [row[1] for row in rows[1:]] == ["pass", "open", "open"]
    several = evaluation(evidence(), bare, worst=1)
    assert several.verdict.startswith("of 2 planes 1 without a verdict, 1 passed; for example, plane 1: No verdict")


def test_same_input_makes_the_same_page() -> None:
    assert make_page(evaluation()) == make_page(evaluation())


def test_words_of_strangers_stay_words() -> None:
    text = make_page(
        evaluation(), title="<script>alert(1)</script>", files={"<b>": {"file": '"><img src=x>'}}, made_by="<i>&"
    )
    assert "<script>" not in text and "<img src=x>" not in text and "<i>" not in text
    assert "&lt;script&gt;" in text


def test_page_of_a_large_image_stays_small() -> None:
    text = make_page(evaluation(evidence((1600, 1600))))
    assert len(text) < 5e6
    sizes = [Image.open(io.BytesIO(base64.b64decode(data))).size for data in re.findall(r"base64,([^\"]+)", text)]
    assert max(max(size) for size in sizes) <= 800


def test_every_fate_is_drawn_where_it_is() -> None:
    places = {"kept": [20.0, 20.0], "lost": [70.0, 30.0], "new": [40.0, 70.0], "moved": [70.0, 90.0]}
    found = evidence(**{fate: np.array([at]) for fate, at in places.items()})
    drawn = {picture.title: picture for picture in pictures(evaluation(found))}
    picture = np.asarray(Image.open(io.BytesIO(drawn["Atom columns"].png)).convert("RGB")).astype(int)
    factor = picture.shape[0] / SHAPE[0]
    for fate, at in places.items():
        colour = [int(FATES[fate][i : i + 2], 16) for i in (1, 3, 5)]
        drawn_at = np.argwhere(np.abs(picture - colour).sum(axis=-1) == 0)
        assert len(drawn_at), fate
        np.testing.assert_allclose((drawn_at.min(0) + drawn_at.max(0)) / 2 / factor, np.array(at) + 0.5, atol=0.7)


def test_pictures_without_a_lattice_and_with_gaps() -> None:
    residual = np.full(SHAPE, np.nan)
    residual[:50] = 1.0
    bare = evidence(
        values={"missing_detail": np.nan},
        spacing=None,
        kept=NONE,
        displacement=None,
        phantom=None,
        residual=no_residual(residual, UNKNOWN),
    )
    titles = [picture.title for picture in pictures(evaluation(bare))]
    assert "Atom columns" not in titles and "Lattice displacement" not in titles
    assert "Noisy - denoised" in titles


def test_pictures_of_what_is_missing_contradicted_and_carried() -> None:
    field = sample("dented-lattice")
    noisy, clean = field.noisy[:96, :96], field.clean[:96, :96]
    wrong = clean.copy()
    wrong[20:30, 20:30] -= 4
    wrong[60:70, 60:70] += 4
    drawn = {picture.title: picture for picture in pictures(run(evaluate_steps(noisy, wrong)))}
    assert {"Missing and contradicted", "Support"} <= set(drawn) and "Given back" not in drawn
    shades = np.asarray(Image.open(io.BytesIO(drawn["Missing and contradicted"].png)).convert("RGB")).astype(int)
    factor = shades.shape[0] // 96
    (missing, contradicted, right) = (shades[at * factor, at * factor] for at in (25, 65, 90))
    assert missing[0] > missing[2] + 50 and contradicted[2] > contradicted[0] + 50  # orange, blue
    assert right.min() > 240
    assert "orange up to" in drawn["Missing and contradicted"].caption


def test_arrows_follow_the_map_also_a_coarse_one() -> None:
    y, x = np.indices(SHAPE, dtype=float)
    whole = evidence(displacement=np.stack([y, -x]))
    coarse = evidence(displacement=np.stack([y, -x])[:, ::4, ::4])
    for one, tolerance in ((whole, 1.0), (coarse, 4.0)):
        start, arrow = arrows(one, SHAPE)
        assert len(start) > 8
        np.testing.assert_allclose(arrow, start * (1, -1), atol=tolerance)


def test_sheet_has_a_row_per_slice_and_one_for_all() -> None:
    bad = evidence(values={"columns_lost": 3.0, "missing_detail": 5.0})
    rows = list(csv.reader(io.StringIO(sheet(evaluation(evidence(), bad, worst=1, truth=True)).decode())))
    head, first, second, total = rows
    assert [row[0] for row in rows] == ["slice", "0", "1", "all"]
    assert [row[1] for row in rows[1:]] == ["pass", "fail", "fail"]
    assert "Columns lost" in second[2]
    lost, detail = head.index("Columns lost (at most 0)"), head.index("Missing detail (σ; at most 6 σ)")
    assert (first[lost], second[lost], total[lost]) == ("0", "3", "3")
    assert float(total[detail]) == pytest.approx(4.5)
    assert float(total[head.index("PSNR (dB)")]) == pytest.approx(30.5)
    assert not any(name.startswith(("Phantom", "MSE")) for name in head)  # measured nowhere


def test_the_worst_plane_is_kept() -> None:
    field = sample("dented-lattice")
    noisy, clean = field.noisy[:96, :96], field.clean[:96, :96]
    spoiled = np.full_like(clean, clean.mean())
    steps = evaluate_steps(np.stack([noisy, noisy]), np.stack([clean, spoiled]), np.stack([clean, clean]))
    done = run(steps)
    assert done.worst.index == (1,) and done.worst.failed > done.planes[0].failed
    assert not done.passed and "plane 1" in done.verdict
    np.testing.assert_array_equal(done.images["denoised"], spoiled)
    assert done.planes[0].scores["psnr"] == np.inf and "psnr" in done.planes[1].scores


def test_colours_are_averaged_and_planes_chosen() -> None:
    rng = np.random.default_rng(0)
    stack = rng.poisson(30, (3, 40, 48, 3)).astype(np.uint16)
    done = run(evaluate_steps(stack, stack, channel_axis=3, planes=[(2,)]))
    assert [plane.index for plane in done.planes] == [(2,)]
    np.testing.assert_allclose(done.images["noisy"], stack[2].mean(axis=-1))


def test_what_cannot_be_compared_is_refused() -> None:
    image = np.ones((40, 40))
    with pytest.raises(InputError, match="one shape"):
        next(evaluate_steps(image, image[:30]))
    with pytest.raises(InputError, match="truth"):
        next(evaluate_steps(image, image, image[:30]))
    with pytest.raises(InputError, match="plane 1"):
        run(evaluate_steps(np.ones((2, 40, 40)), np.stack([image, np.full((40, 40), np.nan)])))
    with pytest.raises(InputError, match="spacing"):
        EvaluationSettings(spacing=-1)


def run(steps: Any) -> Evaluation:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            done: Evaluation = end.value
            return done
