"""Every planted error is found, with the truth and without; a faultless image passes."""

from __future__ import annotations

import numpy as np
import pytest
from planted_field import HOLE, PERIOD, SIDE, VACANCY, make_field, scan
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.fidelity.evaluate import evaluate, judge
from napari_hush.fidelity.findings import all_limits, finding, overall
from napari_hush.fidelity.verdict import table
from napari_hush.synthesis.samples import sample

pytestmark = pytest.mark.slow  # images are judged with the truth and without

FIELD = make_field()
CLEAN = FIELD.draw()
NOISY = scan(CLEAN)
EXACT = {"truth": CLEAN, "positions": FIELD.positions, "vacancies": [VACANCY], "transmission": FIELD.transmission}


def moved():
    positions = FIELD.positions.copy()
    positions[FIELD.nearest((42.0, 54.0))] += (0.1 * PERIOD, 0)
    return FIELD.draw(positions)


def shifted_tile():
    image = CLEAN.copy()
    image[20:84, 70:134] = FIELD.draw(FIELD.positions + np.array([0.5, 0]))[20:84, 70:134]
    return image


def shallower():
    return make_field(1 - 0.95 * (1 - FIELD.transmission)).draw()


PLANTS = {
    "moved": (moved, "columns_moved"),
    "filled": (lambda: FIELD.draw(added=VACANCY), "columns_new"),
    "phantom": (lambda: FIELD.draw(added=HOLE), "columns_new"),
    "lost": (lambda: FIELD.draw(np.delete(FIELD.positions, FIELD.nearest((42.0, 54.0)), axis=0)), "columns_lost"),
    "shallower": (shallower, "lowpass_slope"),
    "tile": (shifted_tile, "area_shifted"),
}


def failed(evidence):
    return {f.name for f in evidence.findings if f.verdict == "fail"}


def value(evidence, name):
    return evidence.as_dict()[name]


@pytest.mark.parametrize("seed", [1, 3])
def test_noise_at_the_borders_is_no_loss_of_slow_brightness(seed):
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.normal(size=(256, 256)), 30)
    truth = (10 + truth / truth.std() * 0.36).astype(np.float32)
    evidence = judge((truth + rng.normal(0, 1.6, truth.shape)).astype(np.float32), truth)
    assert value(evidence, "lowpass_r") > 0.999


def test_the_truth_itself_passes_with_and_without_truth():
    for noisy, known in ((None, EXACT), (None, {"truth": CLEAN}), (NOISY, {}), (NOISY, {"truth": CLEAN})):
        evidence = judge(noisy, CLEAN, **known)
        assert evidence.passed, table(evidence)
        told = "Nothing lost or invented" if noisy is None else "What was taken away is noise at every scale"
        assert evidence.verdict.startswith(told) and f"{len(evidence.kept)} columns kept" in evidence.verdict
        assert len(evidence.kept) > 80 and not len(evidence.lost) + len(evidence.new) + len(evidence.moved)


@pytest.mark.parametrize("seed", range(4))
def test_low_dose_lag_and_jitter_are_no_error_of_the_output(seed):
    evidence = judge(scan(CLEAN, dose=6, seed=seed, jitter=0.4, lag=0.35), CLEAN, spacing=PERIOD)
    assert evidence.passed, table(evidence)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_error_is_found_with_the_truth(name):
    draw, check = PLANTS[name]
    evidence = judge(None, draw(), **EXACT)
    assert (check if name != "shallower" else "dent_depth_error") in failed(evidence), table(evidence)


@pytest.mark.parametrize("name", [name for name in PLANTS if name != "shallower"])
def test_a_planted_error_is_found_without_the_truth(name):
    draw, check = PLANTS[name]
    evidence = judge(scan(CLEAN, dose=100), draw(), spacing=PERIOD)
    assert check in failed(evidence), table(evidence)


def test_the_columns_are_named_by_their_place():
    for noisy, known in ((None, EXACT), (NOISY, {})):
        new = judge(noisy, FIELD.draw(added=VACANCY), **known).new
        assert new == pytest.approx(VACANCY[None], abs=1)
        without = FIELD.draw(np.delete(FIELD.positions, FIELD.nearest((42.0, 54.0)), axis=0))
        assert judge(noisy, without, **known).lost == pytest.approx(np.array([[42.0, 54.0]]), abs=1.5)


def test_a_filled_vacancy_and_an_atom_in_the_void_are_counted():
    filled, phantom = (judge(None, FIELD.draw(added=place), **EXACT) for place in (VACANCY, HOLE))
    assert value(filled, "vacancies_filled") == 100 and value(filled, "vacancies_filled_count") == 1
    assert value(phantom, "atoms_in_voids") == 1


def test_a_lattice_drawn_into_the_hole_is_a_phantom():
    whole = make_field(np.ones((SIDE, SIDE))).draw()
    for noisy, known in ((None, EXACT), (NOISY, {})):
        evidence = judge(noisy, whole, **known)
        assert {"phantom_lattice", "lowpass_slope"} & failed(evidence)
        assert value(evidence, "phantom_lattice") > 30
        assert evidence.phantom.shape == CLEAN.shape and np.nanmax(evidence.phantom) > 0.5


def test_the_displacement_map_shows_a_shift_from_input_to_output():
    image = FIELD.draw(FIELD.positions + np.array([0.6, 0]))
    u = judge(scan(CLEAN, dose=100), image, spacing=PERIOD).displacement
    assert np.nanmedian(u, axis=(1, 2)) == pytest.approx([0.6, 0], abs=0.1)
    assert u.shape == (2, SIDE, SIDE)


@pytest.mark.parametrize("level", [0.0, 0.4])
def test_a_constant_output_fails_without_a_crash(level):
    for noisy, truth in ((None, CLEAN), (NOISY, None)):
        evidence = judge(noisy, np.full_like(CLEAN, level), truth=truth)
        assert {"lattice_gain", "lowpass_slope"} <= failed(evidence)
    assert {"recall", "columns_lost"} <= failed(judge(None, np.full_like(CLEAN, level), truth=CLEAN))


def test_without_a_lattice_the_rest_is_judged():
    rng = np.random.default_rng(0)
    clean = np.add.outer(np.linspace(1, 3, 96), np.linspace(0, 1, 96) ** 2)
    noisy = clean + rng.normal(0, 0.15, clean.shape)
    evidence = judge(noisy, clean)
    assert evidence.spacing is None and evidence.displacement is None
    assert value(evidence, "lowpass_slope") == pytest.approx(1, abs=0.02)
    dimmed = judge(noisy, 0.8 * clean)
    assert "lowpass_slope" in failed(dimmed) and dimmed.status == "fail"
    verdicts = {f.name: f.verdict for f in evidence.findings}
    assert verdicts["columns_lost"] == verdicts["lattice_displacement"] == "not measured"


def test_harm_to_an_image_without_a_lattice_is_seen():
    cells = sample("cells")
    clean, noisy = cells.clean.astype(float), cells.noisy.astype(float)
    evidence = judge(noisy, clean)
    assert evidence.status == "pass" and evidence.residual.calibrated, table(evidence)
    assert evidence.verdict.startswith("What was taken away is noise at every scale")
    blurred, smoothed = ndimage.gaussian_filter(clean, 5), clean.copy()
    smoothed[60:140, 60:140] = ndimage.gaussian_filter(clean, 12)[60:140, 60:140]
    y, x = np.indices(clean.shape)
    spots = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 5) for a, b in ((50, 60), (120, 180), (200, 90)))
    dotted = clean + 5 * (noisy - clean).std() * spots
    for output, check in ((blurred, "missing_detail"), (smoothed, "missing_detail"), (dotted, "contradicted_detail")):
        harmed = judge(noisy, output)
        assert harmed.status == "fail" and check in failed(harmed), table(harmed)
    half = judge(noisy, 0.5 * (clean + noisy))
    assert half.status == "warn" and value(half, "noise_kept") == pytest.approx(50, abs=5)
    same = judge(noisy, noisy)
    assert same.status == "warn" and same.verdict.startswith("Nothing was denoised")


def test_noise_that_is_not_understood_is_no_verdict():
    cells = sample("cells").clean.astype(float)
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=cells.shape), 1.5)
    evidence = judge(cells + 0.3 * cells.std() * grain / grain.std(), cells)
    assert evidence.status == "open" and not evidence.passed and evidence.support is None
    assert "correlated from row to row" in evidence.verdict
    flat = judge(np.ones((80, 80)), np.ones((80, 80)))
    assert flat.status == "open" and "no noise to compare with" in flat.verdict


def test_what_is_found_by_a_detector_alone_is_no_verdict():
    judged = [finding("columns_kept", 3), finding("columns_lost", 0), finding("lowpass_slope", 1)]
    assert overall(judged) == "open"
    assert overall([*judged, finding("missing_detail", 5)]) == "pass"
    assert overall([*judged, finding("missing_detail", 5), finding("noise_kept", 30)]) == "warn"
    assert overall([*judged, finding("lowpass_slope", 0.5)]) == "fail"


def test_lost_pixels_and_a_wrong_period_are_told():
    gap = CLEAN.copy()
    gap[40:60, 40:60] = np.nan
    assert "pixels_lost" in failed(judge(NOISY, gap)) and judge(np.where(np.isnan(gap), np.nan, NOISY), gap).passed
    with pytest.raises(InputError, match="leave it out"):
        judge(NOISY, CLEAN, spacing=1.7 * PERIOD)
    with pytest.raises(InputError, match="half of the image"):
        judge(NOISY, CLEAN, spacing=0.6 * SIDE)
    assert judge(NOISY[:5, :5], CLEAN[:5, :5]).status == "open"


def test_gaps_integers_and_dark_columns_are_no_obstacle():
    noisy, output = NOISY.copy(), CLEAN.copy()
    noisy[30:34, 30:40], output[60, 60] = np.nan, np.inf
    evidence = judge(noisy, output)
    assert np.isnan(evidence.residual.difference[31, 31]) and np.isnan(evidence.residual.difference[60, 60])
    assert failed(evidence) == {"pixels_lost"} and value(evidence, "pixels_lost") == 1
    whole = [np.round(200 * image).astype(np.uint16) for image in (CLEAN, NOISY)]
    assert judge(whole[1], whole[0]).passed
    dark = judge(2 - NOISY, 2 - FIELD.draw(added=VACANCY), dark=True)
    assert dark.new == pytest.approx(VACANCY[None], abs=1)


def test_stacks_sum_counts_and_average_the_rest():
    two = evaluate(np.stack([NOISY, NOISY]), np.stack([CLEAN, FIELD.draw(added=VACANCY)]), spacing=PERIOD)
    one = evaluate(NOISY, CLEAN, spacing=PERIOD)
    assert two["columns_new"] == 1 and two["columns_kept"] == 2 * one["columns_kept"]
    assert two["lattice_gain"] == pytest.approx(one["lattice_gain"], abs=0.02)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="got neither"):
        judge(None, CLEAN)
    with pytest.raises(InputError, match="one shape"):
        judge(None, CLEAN, truth=CLEAN[:-1])
    with pytest.raises(InputError, match="one shape"):
        evaluate(NOISY[None], CLEAN)
    with pytest.raises(InputError, match="more than half"):
        judge(None, np.full_like(CLEAN, np.nan), truth=CLEAN)
    with pytest.raises(InputError, match="spacing"):
        judge(CLEAN, CLEAN, spacing=1.0)
    with pytest.raises(InputError, match="real numbers"):
        judge(CLEAN, CLEAN * 1j)


@pytest.mark.parametrize("function", [judge, evaluate])
def test_other_names_of_the_images_are_explained(function):
    for call in (
        lambda: function(CLEAN, noisy=NOISY),
        lambda: function(image_test=CLEAN, image_true=CLEAN),
        lambda: function(CLEAN, image_true=CLEAN),
        lambda: function(NOISY, CLEAN, denoised=CLEAN),
    ):
        with pytest.raises(InputError, match=rf"expected {function.__name__}\(noisy, denoised, truth=...\)"):
            call()


def test_every_finding_has_words_and_judges_by_its_limits():
    for name, limit in all_limits().items():
        assert limit.label and limit.meaning.endswith(".")
        assert finding(name, np.nan).verdict == "not measured"
    gain = [finding("lattice_gain", v).verdict for v in (0.89, 0.9, 1.3, 1.31)]
    assert gain == ["fail", "pass", "pass", "fail"] and finding("lattice_gain", 1).limit_text == "0.9 to 1.3"
    assert finding("columns_kept", 1523).text == "1,523" and finding("psnr", 30).verdict == "not judged"


def test_the_verdict_names_what_failed():
    text = judge(None, FIELD.draw(added=VACANCY), **EXACT).verdict
    assert "checks failed" in text and "columns new (1)" in text and "vacancies filled" in text


@pytest.mark.parametrize("seed", range(3))
def test_a_lattice_that_only_the_output_has_is_a_phantom(seed):
    """Half a standard deviation high: at no single place more than noise."""
    wave = np.cos(2 * np.pi * np.arange(192) / 12)
    noisy = np.random.default_rng(seed).poisson(100.0, (192, 192)).astype(float)
    evidence = judge(noisy, 100 + 5 * wave[:, None] * wave)
    assert "phantom_lattice" in failed(evidence)


@pytest.mark.parametrize("pedestal", [1e3, 1e6])
def test_a_constant_changes_no_verdict(pedestal):
    first, second = judge(NOISY, CLEAN), judge(NOISY + pedestal, CLEAN + pedestal)
    assert second.passed
    for one, other in zip(first.findings, second.findings, strict=True):
        assert one.verdict == other.verdict
        assert one.value == pytest.approx(other.value, rel=0.1, abs=0.02, nan_ok=True)
    noise = second.residual.noise
    assert noise.zero - pedestal == pytest.approx(first.residual.noise.zero, abs=0.01)


def test_a_wrong_constant_is_seen_where_rows_have_their_own():
    sigma = float((NOISY - CLEAN).std())
    noisy = NOISY + 0.7 * sigma * np.random.default_rng(1).normal(size=(SIDE, 1))
    assert "contradicted_detail" not in failed(judge(noisy, CLEAN))
    assert "contradicted_detail" in failed(judge(noisy, CLEAN + sigma))


def test_what_is_brighter_than_the_range_does_not_hide_behind_its_end():
    y, x = np.mgrid[:192, :192]
    truth = 80 + 60 * np.sin(y / 9) * np.sin(x / 11)
    truth[:30] += 170  # a part is too bright
    noisy = np.clip(np.random.default_rng(0).normal(truth, 12), 0, 255)
    spot = np.exp(-((y - 120) ** 2 + (x - 96) ** 2) / 8)
    for height in (150, 600):
        evidence = judge(noisy, np.clip(truth, 0, 255) + height * spot)
        assert evidence.residual.noise.high is not None
        assert "contradicted_detail" in failed(evidence)


@pytest.mark.parametrize("change", [lambda image: image / 255, lambda image: image + 300, lambda image: 50 * image])
def test_an_output_in_other_units_is_told(change):
    image = sample("dented-lattice")
    evidence = judge(image.noisy[:200, :200], change(image.clean[:200, :200]))
    assert evidence.status == "fail" and "in other units than the input?" in evidence.verdict


def test_what_hardly_stands_out_is_doubtful_and_no_failure():
    assert (
        finding("missing_detail", 6.3, 6.0).verdict == "warn" and finding("missing_detail", 7.2, 6.0).verdict == "fail"
    )
    assert finding("lowpass_r", 0.99).verdict == "warn" and finding("lowpass_r", 0.9).verdict == "fail"
    assert finding("noise_kept", 90).verdict == finding("cell_difference", 50).verdict == "warn"


def test_a_spread_is_doubtful_for_a_twentieth_only():
    verdicts = [finding("residual_spread", value).verdict for value in (1.09, 1.12, 1.2)]
    assert verdicts == ["pass", "warn", "fail"]
