"""Pairs that show different fields are found; noise, blur and a turned contrast are no reason to accuse one."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.training.data import checks
from napari_hush.training.data.checks import usable
from napari_hush.training.data.images import ImageSet


def fields(kind, dose, count=9):
    """Noisy and clean images, 128 px."""
    drawer = Drawer(SynthesisSettings(n=100, shape=(128, 128), kind=kind, dose=(dose, dose)))
    targets = [drawer("train", k) for k in range(count)]
    return [target.noisy for target in targets], [target.clean for target in targets]


def left_out(noisy, clean):
    good = usable([ImageSet(list(noisy)), ImageSet(list(clean))])
    return sorted(set(range(len(noisy))) - set(good))


CHANGES = {
    "as they are": lambda noisy, clean: (noisy, clean),
    "blurred": lambda noisy, clean: ([ndimage.gaussian_filter(image, 2.0) for image in noisy], clean),
    "turned contrast": lambda noisy, clean: (noisy, [-image for image in clean]),
    "forty times as long": lambda noisy, clean: (noisy, [100 + 40 * image for image in clean]),
}


@pytest.mark.filterwarnings("ignore:in no pair does the noise:UserWarning")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["lattice", "general", "tomography", "foam"])
def test_noise_blur_and_contrast_accuse_no_pair(kind, change):
    assert left_out(*CHANGES[change](*fields(kind, 1.0))) == []


def test_noisier_pairs_among_better_ones_are_not_accused():
    few, many, clean = *[fields("tomography", dose)[0] for dose in (1.0, 50.0)], fields("tomography", 50.0)[1]
    assert left_out([*many[:6], *few[6:]], clean) == []


def test_pairs_of_other_fields_are_found_and_named():
    noisy, clean = fields("general", 5.0)
    with pytest.warns(UserWarning, match=r"left out 2 of 9 .* shows another field, which array .* shows"):
        assert left_out(noisy, [*clean[:3], clean[4], clean[3], *clean[5:]]) == [3, 4]
    with pytest.warns(UserWarning, match="left out 1 of 8 .* shows another field"):
        assert left_out(noisy[:8], [*clean[:3], clean[8], *clean[4:8]]) == [3]


def test_a_stack_whose_images_are_shifted_by_one_is_refused():
    noisy, clean = fields("general", 5.0)
    with pytest.raises(InputError, match=r"7 of 8 pairs show different fields: .* not in the same order"):
        left_out(np.stack(noisy[:8]), np.stack(clean[1:]))


def test_when_some_pairs_of_many_are_wrong_all_are_looked_at(monkeypatch):
    monkeypatch.setattr(checks, "MOST", 8)
    noisy, clean = fields("general", 5.0, 16)
    order = [1, 0, *range(2, 6), 7, 6, *range(8, 16)]  # 6 and 7 are not among the first that are looked at
    assert not {6, 7} & set(checks._spread(16))
    with pytest.warns(UserWarning, match="left out 4 of 16"):
        assert left_out(noisy, [clean[k] for k in order]) == [0, 1, 6, 7]


def test_it_is_said_where_the_noise_hides_whether_pairs_belong_together():
    noisy, clean = fields("general", 5.0, 8)
    with pytest.warns(UserWarning, match="in no pair does the noise let it be seen"):
        assert left_out(noisy[:4], clean[4:]) == []


def test_real_pairs_belong_together_and_others_do_not(data_dir):
    files = sorted((data_dir / "light").glob("*_1frame.tif"))
    noisy = [tifffile.imread(file) for file in files]
    clean = [tifffile.imread(str(file).replace("1frame", "400frames")) for file in files]
    assert left_out(noisy, clean) == left_out(noisy, [255.0 - image for image in clean]) == []
    with pytest.warns(UserWarning, match="another field"):
        assert left_out(noisy[:4], [*clean[:3], clean[4]]) == [3]
