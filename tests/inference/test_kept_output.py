"""Another guard is tried on what the network gave before, which need not be computed again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

import napari_hush as hush
from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.known import Known
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles.kept_output import KeptOutputs
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule
from napari_hush.progress import drain
from small_networks import SMALL

LATTICE = hush.sample("dented-lattice").noisy[:200, :232]
WIDER = zoom(LATTICE[:140, :150], 1.5, order=1)  # the network sees it at another scale
GUARDS = ("auto", False, True)


@pytest.fixture
def passes(monkeypatch):
    """How often an engine is asked."""
    counted = []
    for name in ("submit", "__call__"):
        method = getattr(TorchEngine, name)
        monkeypatch.setattr(TorchEngine, name, lambda *inputs, method=method: counted.append(1) or method(*inputs))
    return counted


def denoised(image, model, known=None, **settings):
    done = drain(denoise_steps(image, model, DenoiseSettings(engine="torch", device="cpu", **settings), known=known))
    return done.image, done.given_back


def roomy(room=1 << 30):
    known = Known()
    known.outputs.room = room
    return known


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (LATTICE, {}),
        (LATTICE, {"tile": 64}),
        (WIDER, {"tile": 64}),
        (np.stack([LATTICE, LATTICE[::-1]]), {"frames": False, "tile": 128}),
        (np.where(np.arange(232) == 40, np.nan, LATTICE), {"tile": 64}),
    ],
    ids=["whole", "tiles", "rescaled", "stack", "hole"],
)
@pytest.mark.parametrize("first", GUARDS[:2])
def test_another_guard_needs_no_network(passes, image, options, first):
    known = roomy()
    denoised(image, "stem", known, guard=first, **options)
    assert passes and known.outputs.any
    passes.clear()
    found = {guard: denoised(image, "stem", known, guard=guard, **options) for guard in GUARDS}
    assert not passes
    spread = float(np.nanstd(image))
    for guard, (values, given) in found.items():
        expected, expected_given = denoised(image, "stem", guard=guard, **options)
        np.testing.assert_allclose(values, expected, rtol=0, atol=2e-5 * spread)
        assert (given is None) == (expected_given is None)
    assert passes
    assert np.nanmax(np.abs(found["auto"][0] - found[False][0])) > 0.05 * spread


def test_a_network_of_pieces_is_replayed(passes):
    rule = NormalizationRule(low=0, high=100, target=(-1.0, 1.0))
    model = Model.create("cyclegan_resnet", SMALL["cyclegan_resnet"], normalization=rule)
    known, image = roomy(), LATTICE[:75, :96]
    before, _ = denoised(image, model, known, guard=False, tile=32)
    passes.clear()
    np.testing.assert_array_equal(denoised(image, model, known, guard=False, tile=32)[0], before)
    guarded = denoised(image, model, known, guard=True, tile=32)[0]
    assert not passes
    np.testing.assert_allclose(guarded, denoised(image, model, guard=True, tile=32)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("other", [{"dark": True}, {"precision": "bfloat16"}])
def test_what_changes_the_output_runs_the_network(passes, other):
    known = roomy()
    denoised(LATTICE, "stem", known)
    passes.clear()
    values, _ = denoised(LATTICE, "stem", known, **other)
    assert passes
    np.testing.assert_array_equal(values, denoised(LATTICE, "stem", **other)[0])


def test_a_run_that_was_left_is_not_taken_for_whole(passes):
    known, settings = roomy(), DenoiseSettings(engine="torch", device="cpu", tile=64)
    steps = denoise_steps(LATTICE, "stem", settings, known=known)
    for event in steps:
        if event.step:
            break
    steps.close()
    assert not known.outputs.any
    values, _ = denoised(LATTICE, "stem", known, tile=64)
    np.testing.assert_array_equal(values, denoised(LATTICE, "stem", tile=64)[0])


def test_frames_that_look_together_are_not_kept():
    known = roomy()
    frames = hush.sample("stack").noisy[:3, :64, :64]
    denoised(frames, "general", known, frames=2)
    assert not known.outputs.any


def test_without_room_nothing_is_kept():
    known = roomy(4 * 200 * 232 - 1)
    denoised(LATTICE, "stem", known)
    assert not known.outputs.any
    assert not Known().outputs.room


def test_outputs_of_another_network_take_the_place():
    kept = KeptOutputs(1 << 20)
    first = kept.of("one", 0, (1, 8, 8), 2)
    first.complete = True
    assert kept.of("one", 0, (1, 8, 8), 2) is first and kept.any
    assert not kept.of("another", 0, (1, 8, 8), 2).complete and not kept.any
