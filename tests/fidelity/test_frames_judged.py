"""Frames of a series judged together: what is too faint for one of them, and what must not alarm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.atoms.spacing import find_lattice
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.frames import FramesAround, judge_frame
from napari_hush.fidelity.glance import glance
from napari_hush.fidelity.stacks import Evaluation, evaluate_steps
from napari_hush.progress import drain
from napari_hush.synthesis.lattices.lattice import Lattice, render_lattice

pytestmark = pytest.mark.slow

SIDE, FRAMES, LEVEL = 128, 8, 40.0
SPOT = (60.0, 70.0)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Blobs on a level that drift by half a pixel a frame, float64 (8, 128, 128), counts."""
    rng = np.random.default_rng(3)
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE + 16, SIDE + 16)), 6)
    field = LEVEL * (1 + 0.15 * field / field.std())
    return np.stack([ndimage.shift(field, (-0.5 * k, 0.3 * k), mode="nearest")[8:-8, 8:-8] for k in range(FRAMES)])


def counted(images: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(np.maximum(images, 0)).astype(np.float64)


def spots(height: float, frames: range = range(FRAMES)) -> np.ndarray:
    """A spot that drifts with the blobs."""
    y, x = np.mgrid[:SIDE, :SIDE]
    images = np.zeros((FRAMES, SIDE, SIDE))
    for k in frames:
        images[k] = height * np.exp(-((y - SPOT[0] + 0.5 * k) ** 2 + (x - SPOT[1] - 0.3 * k) ** 2) / (2 * 1.5**2))
    return images


def evaluated(noisy: np.ndarray, denoised: np.ndarray, **options: object) -> Evaluation:
    return drain(evaluate_steps(noisy, denoised, **options), None)  # type: ignore[arg-type]


def test_what_all_frames_have_lost_is_found_and_where(clean: np.ndarray) -> None:
    noisy = counted(clean + spots(8.5))
    assert [judge(one, output).status for one, output in zip(noisy, clean, strict=True)].count("pass") >= 6
    found = evaluated(noisy, clean, planes=[(0,), (4,)])
    assert [one.status for one in found.planes] == ["fail", "fail"]
    assert "8 frames together: " in found.verdict
    assert "missing detail" in found.verdict
    worst = int(found.worst.index[0])
    _, y, x = np.unravel_index(np.abs(found.evidence.residual.z).argmax(), found.evidence.residual.z.shape)
    assert np.hypot(y - SPOT[0] + 0.5 * worst, x - SPOT[1] - 0.3 * worst) < 4
    assert evaluated(noisy, clean + spots(8.5), planes=[(4,)]).status == "pass"


def test_what_only_one_frame_has_lost_is_still_found(clean: np.ndarray) -> None:
    noisy = counted(clean + spots(40.0, range(3, 5)))
    found = evaluated(noisy, clean, planes=[(3,), (7,)])
    assert [one.status for one in found.planes] == ["fail", "pass"]
    assert "together" not in found.planes[0].verdict


def test_blur_that_one_frame_cannot_show_is_found_in_all(clean: np.ndarray) -> None:
    rng = np.random.default_rng(8)
    fine = ndimage.gaussian_filter(rng.standard_normal((SIDE + 16, SIDE + 16)), 1.2)
    fine = 2.0 * fine / fine.std()
    true = clean + np.stack([ndimage.shift(fine, (-0.5 * k, 0.3 * k))[8:-8, 8:-8] for k in range(FRAMES)])
    noisy = counted(true)
    blurred = np.stack([ndimage.gaussian_filter(one, 1.5) for one in true])
    assert judge(noisy[4], blurred[4]).status == "pass"
    found = evaluated(noisy, blurred, planes=[(4,)])
    assert found.status in ("warn", "fail")
    assert found.evidence.frames == FRAMES
    assert evaluated(noisy, true, planes=[(4,)]).status == "pass"


def test_changes_doses_holes_and_other_fields_alarm_nobody(clean: np.ndarray) -> None:
    true = clean + spots(30.0, range(4, 8))  # comes in the middle
    true[1] *= 5.0
    true[6] = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((SIDE, SIDE)), 4) * 50 + LEVEL
    noisy = counted(true)
    noisy[2] = np.nan
    noisy[5, :20] = np.nan
    denoised = true.copy()
    denoised[2] = np.nan
    denoised[5, :20] = np.nan
    found = evaluated(noisy, denoised, planes=[(0,), (3,), (4,), (7,)])
    assert [one.status for one in found.planes] == ["pass"] * 4, found.verdict
    assert "frames together" in found.planes[1].verdict


def test_where_one_frame_is_darker_than_the_others_their_noise_is_no_detail(clean: np.ndarray) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    bright = 3 + 100 * np.exp(-(((y % 16) - 8) ** 2 + ((x % 16) - 8) ** 2) / 8)
    true = np.stack([bright] * FRAMES)
    true[4, 48:64, 48:64] = 3.0  # gone in one frame
    true[:4] *= 1.5
    worst = [evaluated(counted(true, seed), true, planes=[(4,)]).worst for seed in range(3)]
    assert [one.status for one in worst] == ["pass"] * 3, [one.verdict for one in worst]


def test_a_series_within_a_series_and_one_reading_of_each_frame(clean: np.ndarray) -> None:
    read: list[int] = []

    def frame(number: int) -> tuple[np.ndarray, np.ndarray]:
        read.append(number)
        return noisy[number % FRAMES], clean[number % FRAMES]

    noisy = counted(clean + spots(8.5))
    around = FramesAround(frame, 12)
    for number in range(12):
        assert around.around(number) is not None
    assert read == list(range(12))
    assert len(around._known) == 8
    assert FramesAround(frame, 20).around(15) is not None  # begins there
    volume = np.stack([noisy, counted(clean, 9)], axis=1)  # (T, Z, Y, X)
    found = evaluated(volume, np.stack([clean, clean], axis=1), planes=[(4, 0), (4, 1)])
    assert [one.index for one in found.planes] == [(4, 0), (4, 1)]
    assert [one.status for one in found.planes] == ["fail", "pass"]


def test_a_glance_takes_the_frames_only_of_a_series(clean: np.ndarray) -> None:
    noisy = counted(clean + spots(8.5))
    assert glance(noisy, clean).status == "pass"
    seen = glance(noisy, clean, series=True)
    assert seen.status == "fail"
    assert seen.words.startswith("8 frames together: ")
    assert seen.words.endswith("(plane 4)")


def test_the_mean_of_all_frames_is_not_said_to_straighten_columns() -> None:
    """One noisy frame owes the mean an eighth of its noise, so that the slope on it alone is far too small."""
    rng = np.random.default_rng(2)
    lattice = Lattice(kind="hexagonal", period=12.0, sigma=0.18, displacement=0.04, background=0.2)
    true = 4 * render_lattice(lattice, (192, 192), rng).image.astype(np.float64)
    assert find_lattice(true) is not None
    noisy = rng.poisson(true, (FRAMES, *true.shape)).astype(np.float64)
    output = np.stack([ndimage.gaussian_filter(noisy.mean(axis=0), 1.0)] * FRAMES)
    alone = judge(noisy[4], output[4]).transfer
    assert alone is not None
    assert alone.positions < 0.85
    further = FramesAround(lambda number: (noisy[number], output[number]), FRAMES).around(4)
    together = judge_frame(noisy[4], output[4], further).transfer
    assert together is not None
    assert together.positions > 0.93
