"""Every planted error is found, with the truth and without; a faultless image passes."""

from __future__ import annotations

import numpy as np
import pytest
from planted_field import HOLE, PERIOD, SIDE, VACANCY, make_field, scan
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.fidelity.evaluate import evaluate, judge, table
from napari_hush.fidelity.findings import all_limits, finding, overall
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


def test_the_truth_itself_passes_with_and_without_truth():
    for noisy, known in ((None, EXACT), (None, {"truth": CLEAN}), (NOISY, {}), (NOISY, {"truth": CLEAN})):
        evidence = judge(noisy, CLEAN, **known)
        assert evidence.passed, table(evidence)
        told = (
            "Nothing lost or invented" if "positions" in known else f"Columns found: {len(evidence.kept)} kept; weaker"
        )
        assert evidence.verdict.startswith(told) and ("not looked at" in evidence.verdict) != ("positions" in known)
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
    assert dimmed.verdict.startswith("No lattice found: ")
    verdicts = {f.name: f.verdict for f in evidence.findings}
    assert verdicts["columns_lost"] == verdicts["lattice_displacement"] == "not measured"


def test_slow_brightness_alone_is_no_verdict():
    cells = sample("cells")
    blurred = ndimage.gaussian_filter(cells.clean, 5)
    dotted = cells.clean.copy()
    dotted[np.random.default_rng(0).integers(0, dotted.shape[0], (40, 2)).T.tolist()] += 5 * dotted.std()
    for output in (cells.clean, blurred, dotted):
        assert judge(None, output, truth=cells.clean).status != "pass"
    for output in (cells.clean, blurred):
        evidence = judge(cells.noisy, output)
        assert evidence.status == "not judged" and not evidence.passed
        assert evidence.verdict.startswith("Not judged: no lattice was found")
    flat = judge(np.ones((40, 40)), np.ones((40, 40)))
    assert flat.status == "not judged" and flat.verdict.endswith("nothing else could be measured")


def test_columns_that_nobody_found_are_no_verdict():
    judged = [finding("columns_kept", 0), finding("columns_lost", 0), finding("columns_new", 0)]
    assert overall(judged) == "not judged"
    assert overall([finding("columns_kept", 3), *judged[1:]]) == "pass"
    assert overall([*judged, finding("lowpass_slope", 0.5)]) == "fail"


def test_gaps_integers_and_dark_columns_are_no_obstacle():
    noisy, output = NOISY.copy(), CLEAN.copy()
    noisy[30:34, 30:40], output[60, 60] = np.nan, np.inf
    evidence = judge(noisy, output)
    assert evidence.passed and np.isnan(evidence.residual[31, 31]) and np.isnan(evidence.residual[60, 60])
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
