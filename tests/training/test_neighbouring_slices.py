"""Networks that see neighbouring slices: what they are trained on, and how one is made of a model of single slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch

import napari_hush as hush
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.open import open_data
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.settings_file import train_settings
from napari_hush.training.start import initial_network, prepare

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:this model takes images")

PLAIN = NormalizationRule(method="range", source=(0, 1))
SLABS = SynthesisSettings(kind="ellipses", n=3, shape=(32, 32), slices=5, test_share=0, angles=(6, 6), dose=(1e4, 1e4))
TINY = {
    "patch": 16,
    "batch_size": 2,
    "steps": 2,
    "validate_every": 2,
    "network": "tomogan",
    "picture_every": 0,
    "validation_images": 1,
}


def opened(data: Any, method: str = "supervised", **changes: Any) -> Any:
    settings = train_settings(method, {"patch": 16, "depth": 3, "test_share": 0, "validation_images": 1} | changes)
    return open_data(data, METHODS[method].needs, settings, PLAIN)


def marked(volumes: int = 4, slices: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Volumes (V, Z, Y, X) whose values tell volume and slice; noisy ones have 0.25 more."""
    number = 100 * np.arange(volumes)[:, None] + np.arange(slices)
    ramp = np.linspace(0, 0.2, 40 * 40).reshape(40, 40)
    clean = (number[..., None, None] + ramp).astype(np.float32)
    return clean + np.float32(0.25), clean


def test_simulated_patches_are_slabs_with_the_clean_slice_of_their_middle() -> None:
    data = opened(SLABS, patch=32, augment="none")
    target = data._drawer("train", 0)
    patches = [data.draw(k) for k in range(12)]
    assert all(patch.noisy.shape == (3, 32, 32) and patch.clean.shape == (1, 32, 32) for patch in patches)
    own = [patch for patch in patches if np.abs(patch.clean[0] - target.clean[2]).max() < 1e-3]
    assert own
    np.testing.assert_allclose(own[0].noisy, target.noisy[1:4], atol=0.01)
    np.testing.assert_array_equal(own[0].shown(1)[0], own[0].noisy[1])
    assert data.held_out("validation")[0].noisy.shape == (3, 32, 32)
    single = opened(SLABS, depth=0, patch=32, augment="none").draw(0)
    assert single.noisy.shape == single.clean.shape == (1, 32, 32)


def test_the_order_of_slices_is_mirrored_as_well() -> None:
    noisy, clean = marked(1)
    for augment, wanted in (("flips", {True, False}), ("none", {True})):
        data = opened((noisy, clean), augment=augment, validation_share=0)
        orders = [np.diff(data.draw(k).noisy[:, 0, 0]) for k in range(30)]
        assert {bool(order[0] > 0) for order in orders if order[0] * order[1] > 0} == wanted
    data = opened(SLABS, patch=32, augment="flips")
    found = {np.round(data.draw(k).noisy.mean(axis=(1, 2)), 4).tobytes() for k in range(30)}
    assert len(found) == 6  # three slabs, upright and upside down


def test_pairs_of_volumes_give_slabs_and_their_middle(tmp_path: Path) -> None:
    noisy, clean = marked()
    for name, volumes in (("noisy", noisy), ("clean", clean)):
        (tmp_path / name).mkdir()
        for k, volume in enumerate(volumes):
            tifffile.imwrite(tmp_path / name / f"{k}.tif", volume)
    for data in (opened((noisy, clean), augment="none"), opened((tmp_path / "noisy", tmp_path / "clean"))):
        for number in range(30):
            patch = data.draw(number)
            middle = np.round(patch.clean.mean() - 0.1)
            z = int(middle % 100)
            assert np.round(patch.noisy[1].mean() - 0.35) == middle
            beside = sorted(np.round(patch.noisy[[0, 2]].mean(axis=(1, 2)) - 0.35 - middle))
            assert beside == ([1, 1] if z == 0 else [-1, -1] if z == 5 else [-1, 1])
        held = {region.image // 6 for region in data.split.validation}
        assert not held & {region.image // 6 for region in data.split.train}  # whole volumes


def test_a_folder_of_single_slices_is_one_volume(tmp_path: Path) -> None:
    noisy, clean = marked(1)
    for name, volume in (("noisy", noisy[0]), ("clean", clean[0])):
        (tmp_path / name).mkdir()
        for z, image in enumerate(volume):
            tifffile.imwrite(tmp_path / name / f"slice{z}.tif", image)
    data = opened((tmp_path / "noisy", tmp_path / "clean"), augment="none", validation_share=0)
    whole = opened((noisy[0], clean[0]), augment="none", validation_share=0)
    for number in range(5):
        np.testing.assert_array_equal(data.draw(number).noisy, whole.draw(number).noisy)


def test_repeats_of_volumes_are_told_from_slices() -> None:
    noisy, _ = marked(2)
    volumes = np.stack([noisy[0] + 1000 * r for r in range(3)])  # (R, Z, Y, X)
    for changes in ({"depth": 3}, {"depth": 0}):
        data = opened(volumes, "noise2noise", validation_share=0, **changes)
        for number in range(12):
            patch = data.draw(number)
            gap = float(np.round(np.abs(patch.shown(1) - patch.clean).mean()))
            assert gap in (1000, 2000)
    with pytest.raises(InputError, match=r"give stacks \(R, Z, Y, X\)"):
        opened(volumes[:, 0], "noise2noise")


def test_a_model_of_single_slices_is_widened_and_gives_the_same_of_equal_slices(tmp_path: Path) -> None:
    single = Model.create("tomogan")
    single.save(tmp_path / "single.safetensors")
    settings = train_settings("supervised", TINY | {"start": str(tmp_path / "single.safetensors"), "depth": 5})
    initial = initial_network(METHODS["supervised"].load(), settings)
    assert (initial.depth, initial.channels, initial.hyperparameters["depth"]) == (5, (1, 1), 5)
    x = torch.randn(1, 5, 16, 16)
    with torch.no_grad():
        network = initial.network.eval()
        torch.testing.assert_close(network(x[:, 2:3].expand(1, 5, 16, 16)), single.network(x[:, 2:3]))
        beside = x.clone()
        beside[:, 1] = 0
        assert (network(beside) - network(x)).abs().max() > 1e-4  # and looks at the others
        torch.testing.assert_close(network(x.flip(1)), network(x))
    wide = hush.train("supervised", SLABS, settings)
    assert wide.depth == 5
    wide.save(tmp_path / "wide.safetensors")
    on = train_settings("supervised", TINY | {"start": str(tmp_path / "wide.safetensors")})
    _, data, found = prepare(METHODS["supervised"].load(), "pairs", on, SLABS)
    assert (found.depth, data.draw(0).noisy.shape) == (5, (5, 16, 16))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="takes 5 neighbouring slices, not 3"):
        initial_network(METHODS["supervised"].load(), train_settings("supervised", TINY | {
            "start": str(tmp_path / "wide.safetensors"), "depth": 3}))  # fmt: skip


def test_depth_is_taken_from_the_options_of_the_network_too() -> None:
    noisy, clean = marked()
    options = TINY | {"network_options": "depth = 3"}
    model = hush.train("supervised", (noisy, clean), options)
    assert model.depth == 3
    with pytest.warns(UserWarning, match="share one normalisation"):
        assert hush.denoise(noisy[0], model, device="cpu").shape == noisy[0].shape
    adversarial = hush.train("tomogan", (noisy, clean), TINY | {"depth": 3, "lambda_perceptual": 0.0})
    assert adversarial.depth == 3


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        ("supervised", {"depth": 4}, "depth must be odd"),
        ("supervised", {"depth": 3, "network": "unet"}, "unet takes single images: for neighbouring slices choose"),
        ("supervised", {"depth": 3, "network_options": "depth = 5"}, "network_options say depth = 5"),
        ("supervised", {"depth": 3, "companions": "lattice"}, "companions go with single images"),
        ("noise2void", {"network_options": "depth = 3"}, "this method trains on single images"),
    ],
)
def test_what_cannot_be_is_refused(method: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        hush.train(method, marked() if method == "supervised" else marked()[0], TINY | changes)


def test_data_without_neighbours_are_refused() -> None:
    noisy, clean = marked()
    with pytest.raises(InputError, match=r"a network of depth 3 takes neighbouring slices: give stacks \(Z, Y, X\)"):
        opened(([*noisy[0]], [*clean[0]]))
    with pytest.raises(InputError, match="simulate slabs with slices=3"):
        opened(SynthesisSettings(kind="foam", n=3, shape=(32, 32)))
    with pytest.raises(InputError, match="unpaired fields are single images"):
        open_data(SLABS, "unpaired", train_settings("cyclegan", {"patch": 16}), PLAIN)
