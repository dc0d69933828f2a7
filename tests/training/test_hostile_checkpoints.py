"""Checkpoints that somebody else wrote are refused at once, whatever they hold: nothing is run or believed."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
import zipfile

import pytest
import torch
from training_images import TINY, data_for

import napari_hush as hush
from napari_hush.errors import InputError, ModelFileError
from napari_hush.training.checkpoint import HEAD, TYPES, read_checkpoint, write_checkpoint

pytestmark = pytest.mark.slow  # networks are trained


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """What an honest checkpoint holds."""
    path = tmp_path_factory.mktemp("checkpoint") / "a.ckpt"
    hush.train("supervised", data_for("supervised"), TINY | {"steps": 2}, checkpoint=path)
    return read_checkpoint(path)


def with_todays_head(path, content):
    path.write_bytes(HEAD + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return path


def zipped(data):
    """A file as torch.save writes it, with another pickle."""
    buffer = io.BytesIO()
    torch.save({}, buffer)
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            new.writestr(member, data if member.filename.endswith("data.pkl") else old.read(member))
    return out.getvalue()


# A Counter of a list that holds itself many times over, which takes minutes to count.
COUNTED = (
    b"\x80\x02ccollections\nCounter\n]"
    + b"q\x00(K\x01K\x02K\x03e"
    + b"".join(b"2]q%c(" % (k + 1) + b"h\x00" * 30 + b"e" for k in range(3))
)
ATTACKS = {
    "counter": zipped(COUNTED.replace(b"2]", b"]") + b"\x85R."),
    "empty stack": zipped(b"\x80\x02."),
    "no mark": zipped(b"\x80\x02t."),
    "no memo": zipped(b"\x80\x02h\x07."),
    "set item of nothing": zipped(b"\x80\x02}s."),
    "too few": zipped(b"\x80\x02K\x01\x87."),
    "build": zipped(b"\x80\x02}}b."),
    "persistent": zipped(b"\x80\x02K\x01Q."),
    "no utf-8": zipped(b"\x80\x02X\x02\x00\x00\x00\xff\xfe."),
    "plain pickle": pickle.dumps({"method": "supervised"}, 2),
    "empty": b"",
    "zip without anything": b"PK\x05\x06" + b"\0" * 18,
    "tar": b"a" * 257 + b"ustar" + b"\0" * 1024,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_pickles_are_refused_at_once(tmp_path, attack):
    path = with_todays_head(tmp_path / "a.ckpt", ATTACKS[attack])
    began = time.monotonic()
    with pytest.raises(ModelFileError, match=r"a\.ckpt: a checkpoint that napari-hush did not write"):
        read_checkpoint(path)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", TYPES)
def test_each_entry_must_be_of_its_type(tmp_path, state, name):
    for wrong in (None, b"x", 1j, [[]], [1], *([] if name == "precision" else [{"a": {}}, {1: 2}])):
        write_checkpoint(tmp_path / "a.ckpt", state | {name: wrong})
        with pytest.raises(ModelFileError, match="did not write"):
            _ = _resumed(tmp_path) if name == "state" else read_checkpoint(tmp_path / "a.ckpt")
    write_checkpoint(tmp_path / "a.ckpt", {key: value for key, value in state.items() if key != name})
    with pytest.raises(ModelFileError, match=f"its '{name}' is not what it should be"):
        read_checkpoint(tmp_path / "a.ckpt")


def _resumed(folder):
    """Parts that only the method knows are looked at when it takes them up."""
    try:
        hush.train("supervised", data_for("supervised"), TINY | {"steps": 3}, resume=folder / "a.ckpt")
    except ModelFileError as error:
        raise ModelFileError(f"{error} (did not write)") from error


@pytest.mark.parametrize(
    "history", [[{"step": 1, "psnr": "x"}], [{"psnr": 1.0}], [{"step": 1, 2: 3}], ["step"], [{"step": [1]}]]
)
def test_a_history_must_be_numbers(tmp_path, state, history):
    write_checkpoint(tmp_path / "a.ckpt", state | {"history": history})
    with pytest.raises(ModelFileError, match="its 'history' is not what it should be"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("share", [0.9, 0.1, 0.01])
def test_data_that_changed_are_told_whatever_rows_it_is(tmp_path, share):
    noisy, clean = data_for("supervised")
    hush.train("supervised", (noisy, clean), TINY | {"steps": 2}, checkpoint=tmp_path / "a.ckpt")
    changed = noisy.copy()
    rows = max(int(share * 48), 1)
    changed[2, 23 : 23 + rows] += 0.01  # not the first, the middle or the last row, nor the first or last plane
    with pytest.raises(InputError, match=r"the data are others .*array \(6, 48, 48\) has other values"):
        hush.train("supervised", (changed, clean), TINY | {"steps": 3}, resume=tmp_path / "a.ckpt")


def test_what_changed_is_named(tmp_path):
    import tifffile

    noisy, clean = data_for("supervised")
    for k, image in enumerate(noisy):
        tifffile.imwrite(tmp_path / f"{k}.tif", image)
    source = ([tmp_path / f"{k}.tif" for k in range(6)], [*clean])
    hush.train("supervised", source, TINY | {"steps": 2}, checkpoint=tmp_path / "a.ckpt")
    tifffile.imwrite(tmp_path / "3.tif", noisy[3] + 1)
    tifffile.imwrite(tmp_path / "4.tif", noisy[4].astype("float64"))
    with pytest.raises(InputError, match=r"4\.tif was .* bytes, is .* bytes; 3\.tif has other values"):
        hush.train("supervised", source, TINY | {"steps": 3}, resume=tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"5\.tif is not among them any more"):
        hush.train("supervised", (source[0][:5], source[1][:5]), TINY | {"steps": 3}, resume=tmp_path / "a.ckpt")
