"""Real images from microscopes; see the ``data_dir`` fixture for where they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io import read_image, write_image

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "atoms/bpy_crop20.tif": ((512, 512), "uint16", None),
    "repeats/train_0001.tif": ((512, 512), "uint16", 2.98846),
    "repeats/train_0002.tif": ((512, 512), "uint16", 2.98846),
    "stem/03_afterimage_8nm_crp.png": ((730, 730), "uint8", None),
    "stem/10_dso_8nm_none_none.png": ((1024, 1024), "uint8", None),
    "stem/12219.png": ((256, 256), "uint8", None),
    "stem/16_STOimage_1.ser": ((1024, 1024), "uint16", 0.0100127),
    "stem/REBCO.tif": ((943, 1024), "uint16", 1.90805),
    "stem/Tecnai_Osiris_SrTiO3.tif": ((512, 512), "uint16", 0.0135172),
    "stem/Tecnai_Osiris_SrTiO3_r_em.tif": ((512, 512), "float32", 0.0135172),
    "stem/dented_haadf_upper.tif": ((690, 1024), "uint16", 0.0524),
    "tomo/tooth_slice0_recon.npz:sparse30": ((688, 688), "float32", None),
}


@pytest.mark.parametrize("name", FILES)
def test_real_files_are_read_unchanged_and_written_with_their_pixel_size(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    if name.endswith(".ser"):
        pytest.importorskip("rsciio")
    shape, dtype, nm = FILES[name]
    file = data_dir / name.partition(":")[0]
    before = file.read_bytes()
    image = read_image(data_dir / name)
    assert (image.shape, image.dtype, image.axes) == (shape, np.dtype(dtype), "YX")
    assert image.data.dtype.isnative
    assert file.read_bytes() == before
    assert image.pixel_size_in("nm") == (None if nm is None else pytest.approx((nm, nm), rel=1e-5))
    for ending in (".tif", ".zarr"):
        write_image(tmp_path / f"a{ending}", image.data, like=image)
        again = read_image(tmp_path / f"a{ending}")
        assert again.dtype == image.dtype and (np.asarray(again.data) == image.data).all()
        assert again.pixel_size_in("nm") == (None if nm is None else pytest.approx((nm, nm), rel=1e-5))


def test_real_tables_and_models_are_refused(data_dir: Path) -> None:
    with pytest.raises(FileFormatError, match="text"):
        read_image(data_dir / "atoms/bpy_crop20.csv")
    with pytest.raises(InputError, match="choose one"):
        read_image(data_dir / "golden/TomoGAN.h5")


@pytest.mark.parametrize("keep", [20, 50, 3000, 1_000_000])
def test_a_truncated_ser_is_refused(data_dir: Path, tmp_path: Path, keep: int) -> None:
    pytest.importorskip("rsciio")
    (tmp_path / "a.ser").write_bytes((data_dir / "stem/16_STOimage_1.ser").read_bytes()[:keep])
    with pytest.raises(FileFormatError, match=r"truncated, damaged or no \.ser"):
        read_image(tmp_path / "a.ser")


def emd_of(path: Path, data: np.ndarray) -> None:
    """A minimal EMD of the Berkeley dialect, 0.02 nm per pixel."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"] = 0
        file.attrs["version_minor"] = 2
        group = file.create_group("data/image")
        group.attrs["emd_group_type"] = 1
        group["data"] = data.T  # this dialect stores (X, Y)
        for number, (name, size) in enumerate(zip("xy", data.T.shape, strict=True), 1):
            group[f"dim{number}"] = np.arange(size) * 0.02
            group[f"dim{number}"].attrs.update({"name": name, "units": "nm"})


def test_emd_and_its_links(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    data = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
    emd_of(tmp_path / "a.emd", data)
    image = read_image(tmp_path / "a.emd")
    assert image.axes == "YX" and (image.data == data).all()
    assert image.pixel_size_in("nm") == pytest.approx((0.02, 0.02))
    with h5py.File(tmp_path / "a.emd", "a") as file:
        file["data/other"] = h5py.ExternalLink("secret.h5", "/data")
    with pytest.raises(FileFormatError, match=r"leads to another file, secret\.h5"):
        read_image(tmp_path / "a.emd")


def test_without_the_extra_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("rsciio", "rsciio.tia", "rsciio.digitalmicrograph"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.ser").write_bytes(b"II\x97\x01" + bytes(100))
    (tmp_path / "a.dm4").write_bytes(b"\0\0\0\x04" + bytes(100))
    for name in ("a.ser", "a.dm4"):
        with pytest.raises(InputError, match=r"pip install 'napari-hush\[microscopy\]'"):
            read_image(tmp_path / name)
