"""Noisy slices of tomography are drawn once and turned with the clean ones."""

from __future__ import annotations

import numpy as np

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.normalize import NormalizationRule
from napari_hush.synthesis.noise.registry import Poisson
from napari_hush.training.data.simulated import SimulatedData
from napari_hush.training.settings import SupervisedSettings


def opened(*, unpaired: bool = False, **settings: object) -> SimulatedData:
    made = SynthesisSettings(**{"kind": "tomography", "n": 3, "shape": (32, 32), "test_share": 0} | settings)  # type: ignore[arg-type]
    rule = NormalizationRule()
    return SimulatedData(Drawer(made), SupervisedSettings(patch=32, validation_images=1), rule, unpaired=unpaired)


def test_slices_are_reconstructed_once_and_turned_as_pairs() -> None:
    data = opened(angles=(16, 16), dose=(1000, 1000))
    patches = [data.draw(k) for k in range(24)]
    assert len({patch.noisy.tobytes() for patch in patches}) > 6  # in several orientations
    straight = {k: data._drawer("train", k) for k in range(3)}
    found = NormalizationRule()
    for patch in patches:
        errors = []
        for target in straight.values():
            norm = found.fit(lambda target=target: [target.noisy[None]])  # type: ignore[misc]
            for turn in range(4):
                for flip in (False, True):
                    noisy, clean = (np.rot90(one, turn) for one in (target.noisy, target.clean))
                    noisy, clean = (one[::-1] if flip else one for one in (noisy, clean))
                    errors.append(
                        max(
                            float(np.abs(norm.apply(noisy) - patch.noisy[0]).max()),
                            float(np.abs(norm.apply(clean) - patch.clean[0]).max()),
                        )
                    )
        assert min(errors) < 0.01  # kept in half precision


def test_the_order_of_drawing_does_not_matter() -> None:
    one, other = opened(), opened()
    wanted = [one.draw(k) for k in range(6)]
    for k in reversed(range(6)):
        np.testing.assert_array_equal(other.draw(k).noisy, wanted[k].noisy)


def test_unpaired_slices_show_different_fields() -> None:
    patch = opened(unpaired=True, n=40, kind="foam").draw(1)
    assert abs(np.corrcoef(patch.noisy.ravel(), patch.clean.ravel())[0, 1]) < 0.9


def test_own_noises_are_fresh_each_time() -> None:
    data = opened(n=1, noises=(Poisson(dose=20.0),))
    drawn = {data.draw(k).noisy.tobytes() for k in range(24)}
    assert len(drawn) == 24
