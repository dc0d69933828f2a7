"""The user's cache: what is damaged is as good as missing, what is too much goes, and no failure is an error."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from napari_hush import cache
from napari_hush.cache import SUFFIX, VARIABLE, cache_folder, is_kept, keep, read_kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is not there yet."""
    chosen = tmp_path / "new" / "cache"
    monkeypatch.setenv(VARIABLE, str(chosen))
    return chosen


def test_what_was_kept_is_read_again(folder: Path) -> None:
    assert read_kept("a") is None and not is_kept("a")
    assert keep("a", b"one") and keep("a", b"two")
    assert read_kept("a") == b"two" and is_kept("a")
    assert [path.name for path in folder.iterdir()] == [f"a{SUFFIX}"]


@pytest.mark.parametrize("damage", [b"", b"short", bytes(40)])
def test_a_damaged_file_is_as_good_as_none(folder: Path, damage: bytes) -> None:
    keep("a", b"one")
    (folder / f"a{SUFFIX}").write_bytes(damage)
    assert read_kept("a") is None
    assert keep("a", b"one") and read_kept("a") == b"one"


def test_each_flipped_byte_is_noticed(folder: Path) -> None:
    keep("a", b"one")
    path = folder / f"a{SUFFIX}"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_kept("a") is None


@pytest.mark.parametrize("word", ["off", " OFF ", "0"])
def test_it_can_be_turned_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, word)
    assert cache_folder() is None and not keep("a", b"one") and read_kept("a") is None and not is_kept("a")


def test_it_lies_in_the_users_folder_for_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    found = cache_folder()
    assert found is not None and found.is_absolute() and "napari-hush" in found.parts


def test_the_oldest_goes_first_and_files_of_others_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 1000)
    folder.mkdir(parents=True)
    (folder / "of others").write_bytes(bytes(5000))
    for number, name in enumerate("abc"):
        keep(name, bytes(250))
        os.utime(folder / f"{name}{SUFFIX}", (number, number))
    assert read_kept("a") is not None  # used just now: b is the oldest
    keep("d", bytes(250))
    assert [name for name in "abcd" if is_kept(name)] == ["a", "c", "d"]
    assert (folder / "of others").exists()
    assert not keep("e", bytes(2000)) and is_kept("d")


def test_no_room_and_no_permission_are_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a", b"one")

    def full(self: Path, data: bytes) -> NoReturn:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert not keep("b", b"two")
    assert [path.name for path in folder.iterdir()] == [f"a{SUFFIX}"], "nothing half written stays"


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "cache"))
    assert not keep("a", b"one") and read_kept("a") is None and not is_kept("a")
