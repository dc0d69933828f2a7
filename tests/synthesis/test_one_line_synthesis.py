"""What is added in one line is everywhere: a phantom, a noise, a dent and a setting, from Python and the shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest

import napari_hush as hush
from napari_hush import cli
from napari_hush.cli.options import options_of, settings_of
from napari_hush.datasets.records import read_settings
from napari_hush.datasets.settings import SynthesisSettings, settings_to_toml
from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import DENTS, KINDS, NOISES, PHANTOMS, Compose, Kind, noise_from_dict, noise_to_dict
from napari_hush.synthesis.dents.shapes import Dent, random_dent
from napari_hush.synthesis.noise.registry import Poisson, SparseAngles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SMALL: dict[str, Any] = {"n": 2, "shape": (32, 40), "test_share": 0.5, "seed": 3}
OPTIONS = ["--n", "2", "--shape", "32", "40", "--test-share", "0.5", "--seed", "3"]


def stripes(shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw stripes along Y at a random place."""
    x = np.arange(shape[1]) + np.random.default_rng(rng).uniform(0, 8)
    return np.broadcast_to(0.5 + 0.4 * np.sin(x), shape).astype(np.float32)


def stripes_in_colour(shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """The same three times."""
    return np.stack([stripes(shape, rng=rng)] * 3)


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A slope along X that the detector adds.

    Parameters
    ----------
    height : float
        Of the last column over the first, in units of the image.
    """

    height: Annotated[float, Bounds(0, 5)] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Add it to (Y, X)."""
        return image + np.linspace(0, self.height, image.shape[1], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class More(SynthesisSettings):
    """Settings with one more.

    Parameters
    ----------
    grain : float
        Of the film, px.
    """

    grain: Annotated[float, Bounds(0, 5)] = 1.0


def half(shape: tuple[int, int], period: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Nothing in the left half."""
    return np.broadcast_to(np.arange(shape[1]) >= shape[1] // 2, shape).astype(np.float32)


@pytest.fixture
def phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHANTOMS, "dummy", Kind(about="stripes", draw=stripes))


@pytest.mark.usefixtures("phantom")
def test_a_phantom_is_drawn_from_python() -> None:
    first, second = hush.synthesize({**SMALL, "kind": "dummy"})
    assert (first.kind, type(first.noise.noises[0])) == ("dummy", Poisson)
    assert np.ptp(first.clean, axis=0).max() == 0
    assert not np.array_equal(first.clean, second.clean)
    assert list(KINDS)[-1] == "dummy"


@pytest.mark.usefixtures("phantom")
def test_a_phantom_is_drawn_from_the_command_line_and_its_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["synthesize", "one", *OPTIONS, "--kind", "dummy"]) == 0
    assert cli.main(["synthesize", "two", "--settings", "one/settings.toml"]) == 0
    assert "pairs, dummy, 1 to train" in capsys.readouterr().out
    (target, _) = hush.synthesize({**SMALL, "kind": "dummy"})
    for folder in ("one", "two"):
        np.testing.assert_array_equal(read_image(tmp_path / folder / "train/noisy/00000.tif").data, target.noisy)


def test_a_kind_that_nobody_added_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"kind must be one of lattice, published, foam, .*, got 'dummy'"):
        SynthesisSettings(kind="dummy")


def test_what_the_entry_of_a_phantom_says_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHANTOMS, "bright", Kind(about="stripes", draw=stripes_in_colour, colours=True))
    (target, _) = hush.synthesize({**SMALL, "kind": "bright"})
    assert target.clean.shape == target.noisy.shape == (3, 32, 40)
    with pytest.raises(InputError, match="bright has colours"):
        SynthesisSettings(kind="bright", layout="hdf5")
    monkeypatch.setitem(PHANTOMS, "slice", Kind(about="stripes", draw=stripes, noise="projections"))
    (target, _) = hush.synthesize({**SMALL, "kind": "slice", "angles": (7, 7)})
    (noise,) = target.noise.noises
    assert isinstance(noise, SparseAngles) and noise.n_angles == 7
    monkeypatch.setitem(PHANTOMS, "sorts", Kind(about="sorts", draw=lambda shape, rng: (stripes(shape, rng=rng), "A")))
    assert hush.synthesize({**SMALL, "kind": "sorts"})[0].kind == "A"
    monkeypatch.setitem(PHANTOMS, "wrong", Kind(about="says grey", draw=stripes_in_colour))
    with pytest.raises(ValueError, match=r"expected an image of shape \(32, 40\), got \(3, 32, 40\)"):
        hush.synthesize({**SMALL, "kind": "wrong"})


@pytest.mark.parametrize("name", KINDS)
def test_what_belongs_to_a_kind_are_settings(name: str) -> None:
    assert set(KINDS[name].settings) <= set(SynthesisSettings.__dataclass_fields__)
    assert KINDS[name].about
    assert bool(KINDS[name].draw) == (name in PHANTOMS)


def test_a_noise_is_put_on_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOISES, "dummy", Ramp)
    noise = noise_from_dict({"noises": [{"name": "dummy", "height": 2}]})
    assert noise == Compose(noises=(Ramp(height=2.0),))
    assert noise_to_dict(noise) == {"noises": [{"name": "dummy", "height": 2.0}]}
    with pytest.raises(InputError, match=r"noises\[0\]: Ramp: height must be a number from 0 to 5, got 6"):
        noise_from_dict({"noises": [{"name": "dummy", "height": 6}]})
    (target, _) = hush.synthesize({**SMALL, "noises": [{"name": "dummy"}]})
    np.testing.assert_allclose((target.noisy - target.clean)[:, -1], 1, atol=1e-6)


def test_a_noise_is_put_on_from_a_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOISES, "dummy", Ramp)
    monkeypatch.chdir(tmp_path)
    text = 'kind = "cells"\nn = 1\nshape = [32, 40]\ntest_share = 0\n\n[[noises]]\nname = "dummy"\nheight = 3\n'
    (tmp_path / "my.toml").write_text(text)
    assert cli.main(["synthesize", "data", "--settings", "my.toml"]) == 0
    noisy, clean = (read_image(tmp_path / "data/train" / what / "00000.tif").data for what in ("noisy", "clean"))
    np.testing.assert_allclose((noisy - clean)[:, -1], 3, atol=1e-6)
    assert read_settings(tmp_path / "data/settings.toml")[0].noises == (Ramp(height=3.0),)


def test_a_dent_is_drawn_as_often_as_its_weight_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [random_dent((32, 40), 8.0, seed) for seed in range(5)]
    monkeypatch.setitem(DENTS, "dummy", Dent(draw=half, weight=0))
    for seed, dent in enumerate(before):
        np.testing.assert_array_equal(random_dent((32, 40), 8.0, seed), dent)
    monkeypatch.setitem(DENTS, "dummy", Dent(draw=half, weight=3 * sum(dent.weight for dent in DENTS.values())))
    hits = [bool((random_dent((32, 40), 8.0, seed)[:, :20] == 0).all()) for seed in range(60)]
    assert 0.65 < np.mean(hits) < 0.95  # 3 in 4 for one dent, more for two or three


def test_a_dent_is_in_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DENTS, "dummy", Dent(draw=half, weight=1e9))
    monkeypatch.chdir(tmp_path)
    (target, _) = hush.synthesize({**SMALL, "dent_share": 1})
    assert cli.main(["synthesize", "data", *OPTIONS, "--dent-share", "1"]) == 0
    with np.load(tmp_path / "data/train/truth/00000.npz") as truth:
        for mask in (target.mask, truth["mask"]):
            assert mask[:, :20].all()
            assert not mask[:, 20:].any()


def test_a_setting_is_an_option_is_checked_and_is_in_the_file() -> None:
    options = options_of(More, hidden=("noises",))
    assert settings_of(options(grain=2, seed=2**63 - 1), More) == More(grain=2.0, seed=2**63 - 1)
    with pytest.raises(InputError, match="grain must be a number from 0 to 5, got 7"):
        settings_of(options(grain=7), More)
    assert "grain = 2.0" in settings_to_toml(More(grain=2)).splitlines()
