"""``napari-hush evaluate``: verdicts as exit codes, a report and a sheet, no input overwritten."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_hush import sample
from napari_hush.card import ModelCard
from napari_hush.cli import main
from napari_hush.inference.uncertainty import uncertainty
from napari_hush.io import read_image, write_image
from napari_hush.model import Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A noisy image, a perfect result, one that lost an area, and stacks of them."""
    monkeypatch.chdir(tmp_path)
    field = sample("dented-lattice")
    noisy, clean = field.noisy[:96, :96], field.clean[:96, :96]
    lossy = clean.copy()
    lossy[30:60, 30:60] = clean.mean()
    write_image("noisy.tif", noisy, pixel_size=0.03)
    write_image("good.tif", clean)
    write_image("bad.tif", lossy)
    write_image("short.tif", clean[:50])
    write_image("flat.tif", np.full_like(clean, 3))
    write_image("noisy_stack.tif", np.stack([noisy, noisy]), axes="TYX")
    write_image("stack.tif", np.stack([clean, lossy]), axes="TYX")
    return tmp_path


def test_a_good_result_ends_with_zero_and_writes_both(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("evaluate noisy.tif good.tif --report r.html --csv m.csv".split()) == 0
    out = capsys.readouterr().out
    assert " nm is carried by the counts" in out and "px (0.362 nm)" in out
    assert "Columns lost" in out and "at most 0" in out and out.rstrip().endswith("m.csv: the sheet")
    text = (desk / "r.html").read_text("utf-8")
    assert "✓ PASS" in text and "napari-hush evaluate noisy.tif good.tif --report r.html" in text
    assert "0.03 nm" in text and "Software: napari-hush" in text and "sha256" in text
    assert [row[0] for row in csv.reader((desk / "m.csv").read_text().splitlines())] == ["slice", "0", "all"]


def test_a_bad_result_ends_with_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("evaluate noisy.tif bad.tif".split()) == 1
    assert "failed" in capsys.readouterr().out


def test_what_cannot_be_judged_ends_with_three(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = sample("cells")
    write_image("cells.tif", ndimage.gaussian_filter(cells.noisy, 1.5))  # its noise is correlated: like grain
    write_image("clean.tif", cells.clean)
    assert main("evaluate cells.tif clean.tif --report r.html".split()) == 3
    out = capsys.readouterr().out
    assert "No verdict: its noise is correlated from row to row" in out and "\nopen\n" in out
    assert "✓ PASS" not in (desk / "r.html").read_text("utf-8")


def test_noise_that_was_kept_ends_with_four(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = sample("cells")
    write_image("cells.tif", cells.noisy)
    write_image("half.tif", 0.3 * cells.noisy + 0.7 * cells.clean)
    assert main("evaluate cells.tif half.tif --report r.html".split()) == 4
    assert "of the noise is still in the output" in capsys.readouterr().out
    assert "! WARN" in (desk / "r.html").read_text("utf-8")


def test_a_blur_is_seen_without_a_lattice(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = sample("cells")
    write_image("cells.tif", cells.noisy)
    write_image("blurred.tif", ndimage.gaussian_filter(cells.clean, 5))
    assert main("evaluate cells.tif blurred.tif".split()) == 1
    assert "missing detail" in capsys.readouterr().out


def test_what_does_not_apply_is_one_line(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = sample("cells")
    write_image("cells.tif", cells.noisy)
    write_image("clean.tif", cells.clean)
    assert main("evaluate cells.tif clean.tif".split()) == 0
    out = capsys.readouterr().out
    assert "not measured" not in out and "Columns lost" not in out
    (line,) = [line for line in out.splitlines() if "do not apply" in line]
    assert int(line.split()[0]) >= 8


def test_a_truth_in_other_units_is_matched(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = read_image("good.tif").data
    write_image("truth.tif", (clean + 3) / 1.9)
    write_image("noisy.tif", np.random.default_rng(0).poisson(clean).astype(np.float32))  # nothing of a scan dims it
    assert main("evaluate noisy.tif good.tif --truth truth.tif".split()) == 1
    assert "truth matched" not in capsys.readouterr().out
    assert main("evaluate noisy.tif good.tif --truth truth.tif --match --report r.html".split()) == 0
    words = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("truth matched: "))
    gain, offset = (float(part.split()[-1]) for part in words.removeprefix("truth matched: ").split(", "))
    assert gain == pytest.approx(1.9, rel=0.02) and offset == pytest.approx(-3, abs=0.15)
    text = (desk / "r.html").read_text("utf-8")
    assert "Truth matched: gain" in text and "--match" in text


def test_stacks_go_plane_by_plane(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("evaluate noisy_stack.tif stack.tif --csv m.csv --spacing 12".split()) == 1
    out = capsys.readouterr().out
    assert "plane 0: pass" in out and "plane 1: FAIL" in out
    rows = list(csv.reader((desk / "m.csv").read_text().splitlines()))
    assert [row[:2] for row in rows[1:]] == [["0", "pass"], ["1", "fail"], ["all", "fail"]]


def test_the_model_says_what_it_is_unsure_of(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="tiny"))
    model.save("tiny.safetensors")
    words = "evaluate noisy.tif good.tif --model tiny.safetensors --uncertainty map.tif --report r.html"
    assert main(words.split()) == 0
    assert "map.tif: the uncertainty" in capsys.readouterr().out
    noisy, found = read_image("noisy.tif"), read_image("map.tif")
    np.testing.assert_array_equal(found.data, uncertainty(noisy.data, model).deviation)
    assert found.scales == noisy.scales
    text = (desk / "r.html").read_text("utf-8")
    assert "<b>Uncertainty</b>" in text and "--uncertainty map.tif" in text


@pytest.mark.parametrize("count", [1, 3])
def test_repeats_tell_the_error(desk: Path, capsys: pytest.CaptureFixture[str], count: int) -> None:
    rng = np.random.default_rng(0)
    clean = np.asarray(read_image("good.tif").data, np.float64)
    sigma = 0.3 * clean.std()
    frames = (clean + rng.normal(0, sigma, (count + 1, *clean.shape))).astype(np.float32)
    output = ndimage.gaussian_filter(frames[0], 1)
    write_image("first.tif", frames[0])
    write_image("out.tif", output)
    write_image("more.tif", frames[1] if count == 1 else frames[1:], axes="YX" if count == 1 else "TYX")
    code = main("evaluate first.tif out.tif --repeats more.tif --report r.html --csv m.csv".split())
    out = capsys.readouterr().out
    assert code in (0, 1) and f"from {count + 1} measurements of the field" in out
    rows = list(csv.DictReader((desk / "m.csv").read_text().splitlines()))
    label = "MSE from repeats (squared image units)"
    assert not rows[0][label]
    assert float(rows[-1][label]) == pytest.approx(((output - clean) ** 2).mean(), rel=0.3)
    text = (desk / "r.html").read_text("utf-8")
    assert "--repeats more.tif" in text and label in text and "denoised with other noisy" in text


def test_a_stack_of_repeats_is_its_own_second_measurement(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = np.asarray(read_image("good.tif").data, np.float64)
    frames = clean + np.random.default_rng(0).normal(0, 0.3 * clean.std(), (3, *clean.shape))
    output = ndimage.gaussian_filter(frames, (0, 1, 1))
    for name, stack in (("frames.tif", frames), ("out.tif", output)):
        write_image(name, stack.astype(np.float32), axes="TYX")
    assert main("evaluate frames.tif out.tif --repeats frames.tif".split()) in (0, 1, 4)
    out = capsys.readouterr().out
    assert "from 3 measurements of the field" in out and "denoised with denoised" in out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("noisy.tif short.tif", "one shape"),
        ("noisy.tif good.tif --truth short.tif", "one shape"),
        ("noisy.tif missing.tif", "missing.tif"),
        ("noisy.tif good.tif --repeats missing.tif", "missing.tif"),
        ("noisy.tif good.tif --repeats short.tif", "further ones of the same shape"),
        ("noisy_stack.tif stack.tif --repeats noisy.tif", "is a stack of 2 planes"),
        ("noisy.tif good.tif --spacing -3", "spacing must be a number from 2"),
        ("noisy.tif good.tif --match", "--truth"),
        ("noisy.tif good.tif --truth flat.tif --match", "flat"),
        ("noisy.tif good.tif --report r.pdf", ".html"),
        ("noisy.tif good.tif --csv nowhere/m.csv", "nowhere"),
        ("noisy.tif good.tif --csv folder.csv", "is a folder"),
        ("noisy.tif good.tif --uncertainty map.tif", "--model"),
        ("noisy.tif good.tif --uncertainty map.png --model stem", ".tif"),
        ("noisy.tif good.tif --model nothing", "nothing"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_two(
    desk: Path, capsys: pytest.CaptureFixture[str], words: str, reason: str
) -> None:
    (desk / "folder.csv").mkdir()
    before = set(desk.iterdir())
    assert main(["evaluate", *words.split()]) == 2
    complaint = capsys.readouterr().err
    assert reason in complaint and complaint.count("\n") == 1
    assert set(desk.iterdir()) == before


def test_an_input_is_never_replaced(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "link.csv").hardlink_to(desk / "noisy.tif")
    before = (desk / "noisy.tif").read_bytes()
    assert main("evaluate noisy.tif good.tif --csv link.csv --overwrite".split()) == 2
    assert "replace the input" in capsys.readouterr().err
    assert (desk / "noisy.tif").read_bytes() == before


def test_it_needs_no_torch(desk: Path) -> None:
    code = (
        "import sys\nfrom napari_hush.cli import main\n"
        "assert main(['evaluate', 'noisy.tif', 'good.tif', '--report', 'r.html']) == 0\n"
        "assert not {'torch', 'qtpy', 'napari'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
