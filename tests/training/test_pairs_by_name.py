"""Which files belong together: by their names, whatever is missing on either side, and never wrongly in silence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile
from training_images import clean_images, with_noise

from napari_hush.errors import InputError
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.images import ImageSet
from napari_hush.training.data.names import match_names
from napari_hush.training.data.open import TrainingSource, open_data
from napari_hush.training.data.pairing import paired
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.settings_file import train_settings

# Each side's names with {} for a number, or a letter.
NAMES = {
    "endings": ("img_{:03}_noisy.tif", "img_{:03}_clean.tif"),
    "folders": ("low/{:04}.tif", "high/{:04}.tif"),
    "beginnings": ("GT_{}.png", "LR_{}.png"),
    "no zeros": ("img_{:05}.tif", "img_{}.tif"),
    "other kind of file": ("{}.ome.tif", "{}.png"),
    "one side marked": ("scan{}.tif", "scan{}_gt.tif"),
    "in the middle": ("s1_noisy_f{}.tif", "s1_clean_f{}.tif"),
    "numbers that stand for the side": ("{}_iso800_10ms.tif", "{}_iso100_400ms.tif"),
    "a number glued to a letter": ("{}n.tif", "{}C.TIF"),
    "a folder of each": ("f{}/noisy.tif", "f{}/clean.tif"),
    "something behind": ("LR_{:03}.png", "{:03}x4.png"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_partners_are_found_and_those_without_one_named(kind):
    noisy, clean = NAMES[kind]
    first, second = [noisy.format(k) for k in (2, 3, 5, 9, 11)], [clean.format(k) for k in (11, 10, 9, 5, 3)]
    found = match_names(first, second)
    assert [(first[a], second[b]) for a, b in found.pairs] == [
        (noisy.format(k), clean.format(k)) for k in (3, 5, 9, 11)
    ]
    assert [first[k] for k in found.alone[0]] == [noisy.format(2)]
    assert [second[k] for k in found.alone[1]] == [clean.format(10)]


@pytest.mark.parametrize(("noisy", "clean"), [("{}-input.tif", "{}-target.tif"), ("{}Noisy.tif", "{}Clean.png")])
def test_names_without_numbers_are_matched(noisy, clean):
    found = match_names([noisy.format(k) for k in "abd"], [clean.format(k) for k in "cab"])
    assert found.pairs == [(0, 1), (1, 2)]
    assert found.alone == ([2], [0])


def test_a_number_that_all_names_of_one_side_share_is_not_taken_for_the_side():
    second = [f"exp{e}_{k}_clean.tif" for e in (1, 2) for k in (1, 2)]
    found = match_names(["exp1_1_noisy.tif", "exp1_2_noisy.tif"], second)
    assert found.pairs == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["cat.tif", "dog.tif"], ["x.tif", "y.tif"]),
        (["scan1.tif", "scan2.tif"], ["ref7.tif", "ref8.tif"]),
        (["20240101_101500.tif", "20240101_101700.tif"], ["20240101_101600.tif", "20240101_101800.tif"]),
    ],
)
def test_names_with_nothing_in_common_match_nothing(first, second):
    assert match_names(first, second).pairs == []


def written(folder, names, images):
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name, image, photometric="minisblack")
    return folder


@pytest.fixture
def nine():
    """Nine fields, noisy and clean."""
    clean = clean_images(9)
    return with_noise(clean, 0.05), clean


@pytest.fixture
def gaps(tmp_path, nine):
    """Nine noisy and nine clean files of ten fields, with another one missing on each side."""
    noisy, clean = nine
    return (
        written(tmp_path / "low", [f"{k}_n.tif" for k in (0, 1, 2, 4, 5, 6, 7, 8)], noisy[[0, 1, 2, 4, 5, 6, 7, 8]]),
        written(tmp_path / "high", [f"{k}_c.tif" for k in (0, 1, 2, 3, 4, 5, 6, 8)], clean[[0, 1, 2, 3, 4, 5, 6, 8]]),
    )


def opened(data, method="supervised", **changes):
    settings = train_settings(method, {"patch": 16, "augment": "none"})
    return open_data(TrainingSource(data=data, **changes), METHODS[method].needs, settings, NormalizationRule())


def test_one_missing_file_on_each_side_shifts_no_pair(gaps):
    with pytest.warns(UserWarning, match=r"without a partner of the same name: noisy 7_n\.tif, clean 3_c\.tif"):
        data = opened(gaps)
    for k in range(len(data)):
        patch = data.draw(k)
        assert np.corrcoef(patch.noisy.ravel(), patch.clean.ravel())[0, 1] > 0.8
    with pytest.raises(InputError, match=r"without a partner of the same name: noisy 7_n\.tif, clean 3_c\.tif"):
        opened(gaps, on_bad="refuse")


def test_the_order_of_names_without_anything_in_common_is_said(tmp_path, nine):
    noisy, clean = nine
    low = written(tmp_path / "low", ["cat.tif", "dog.tif", "emu.tif"], noisy[:3])
    high = written(tmp_path / "high", ["p.tif", "q.tif", "r.tif"], clean[:3])
    with pytest.warns(UserWarning, match=r"nothing in common: taken in their order, first cat\.tif and p\.tif"):
        opened((low, high))
    (low / "dog.tif").unlink()
    with pytest.raises(InputError, match=r"nothing in common .* and their numbers differ, 2 and 3"):
        opened((low, high))


def test_single_files_and_arrays_are_pairs_whatever_their_names(tmp_path, nine):
    noisy, clean = nine
    tifffile.imwrite(tmp_path / "monday.tif", noisy)
    tifffile.imwrite(tmp_path / "tuesday.tif", clean)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened((tmp_path / "monday.tif", tmp_path / "tuesday.tif"))
        opened(([*noisy], clean))
        opened((written(tmp_path / "low", [f"{k}.tif" for k in range(9)], noisy), tmp_path / "tuesday.tif"))


def test_stacks_of_other_lengths_are_left_out(tmp_path, nine):
    noisy, clean = nine
    low = written(tmp_path / "low", ["a.tif", "b.tif"], [noisy[:4], noisy[4:8]])
    high = written(tmp_path / "high", ["a.tif", "b.tif"], [clean[:4], clean[4:7]])
    with pytest.warns(UserWarning, match=r"b\.tif with 4 images beside b\.tif with 3"):
        first, second = paired(ImageSet(low), ImageSet(high))
    assert (len(first), len(second)) == (4, 4)


def test_slices_of_volumes_are_matched_too(tmp_path, nine):
    noisy, clean = nine
    low = written(tmp_path / "low", [f"{k}.tif" for k in (0, 1, 2, 3)], noisy[:4])
    high = written(tmp_path / "high", [f"{k}.tif" for k in (0, 1, 2, 4)], clean[:4])
    with pytest.raises(InputError, match=r"slices without a partner of the same name: 3\.tif, 4\.tif"):
        paired(ImageSet(low, volumes=True), ImageSet(high, volumes=True))


def test_the_truth_goes_by_names_as_well(tmp_path, nine):
    noisy, clean = nine
    low = written(tmp_path / "low", ["a.tif", "b.tif", "c.tif"], noisy[:3])
    written(tmp_path / "high", ["c.tif", "a.tif", "b.tif"], clean[[2, 0, 1]])
    truth = [tmp_path / "high" / name for name in ("c.tif", "b.tif", "a.tif")]
    data = opened(low, "noise2void", truth=truth)
    for patch in data.held_out("validation") + data.held_out("test"):
        assert np.corrcoef(patch.noisy.ravel(), patch.clean.ravel())[0, 1] > 0.8
    written(tmp_path / "high", ["d.tif"], clean[3:4])
    with pytest.raises(InputError, match=r"without a true one of the same name: a\.tif"):
        opened(low, "noise2void", truth=[tmp_path / "high" / name for name in ("b.tif", "c.tif", "d.tif")])
