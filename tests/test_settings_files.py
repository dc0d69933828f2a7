"""Settings files that no honest person wrote are refused in one line, with their name, whoever reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import pytest

import napari_hush as hush
from napari_hush import cli
from napari_hush.datasets.records import read_settings
from napari_hush.errors import InputError
from napari_hush.files import read_toml
from napari_hush.training.settings_file import read_train_settings, train_settings

if TYPE_CHECKING:
    from pathlib import Path

DEEP = f"n = {'[' * 3000}{']' * 3000}"
HOSTILE = {
    "deep": DEEP, "long integer": f"n = {'9' * 5000}", "long hexadecimal": f"n = 0x{'f' * 5000}",
    "inside": f"n = [{{a = 0x{'f' * 5000}}}]", "no text": "n = '\x00'", "nothing": "]",
}  # fmt: skip


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A settings file of each kind."""
    path = tmp_path / "settings.toml"
    path.write_text(HOSTILE[request.param])
    return path


def test_every_reader_names_the_file(hostile: Path) -> None:
    for read in (read_toml, read_settings, lambda path: read_train_settings("supervised", path)):
        with pytest.raises(InputError, match=r"settings\.toml: not a TOML file") as caught:
            read(hostile)
        assert len(str(caught.value)) < 300


def test_the_commands_say_it_in_one_line(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "m.safetensors")
    for arguments in (
        ["train", "supervised", str(hostile), "-o", out],
        ["train", "supervised", "x", "-o", out, "--noises", str(hostile)],
        ["train", "supervised", "x", "-o", out, "--settings", str(hostile)],
        ["synthesize", str(tmp_path / "set"), "--settings", str(hostile)],
    ):
        assert cli.main(arguments) == 2
        complaints = capsys.readouterr().err.splitlines()
        assert len(complaints) == 1
        assert "not a TOML file" in complaints[0]


def test_options_of_a_network_are_read_with_the_same_care() -> None:
    for text in (f"a = {'[' * 3000}", f"a = 0x{'f' * 5000}", f"a = {'9' * 5000}"):
        with pytest.raises(InputError, match="network_options must look like") as caught:
            train_settings("supervised", {"network_options": text})
        assert len(str(caught.value)) < 300


def test_a_file_beyond_any_settings_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(InputError, match=r"large\.toml: has 8,589,934,592 bytes, expected a settings file"):
        read_toml(tmp_path / "large.toml")


def test_the_settings_in_a_data_set_are_read_with_the_same_care(tmp_path: Path) -> None:
    settings = {"n": 2, "shape": (32, 32), "layout": "hdf5"}
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.attrs["settings"] = DEEP
    with pytest.raises(InputError, match=r"set\.h5: its attribute 'settings' is damaged"):
        hush.synthesize(settings, tmp_path / "set.h5")
