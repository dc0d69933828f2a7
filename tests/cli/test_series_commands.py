"""Series on the command line: stacks, folders of frames, the maps, and registration by itself."""

import csv

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from napari_hush import cli
from napari_hush.io import read_image, write_image

SIDE, FRAMES = 96, 4


def frames():
    rng = np.random.default_rng(0)
    clean = ndimage.gaussian_filter(rng.random((SIDE, SIDE + 3 * FRAMES)), 3)
    clean = 1000 * (clean - clean.min()) / np.ptp(clean)
    return np.stack([clean[:, 2 * k : 2 * k + SIDE] + rng.normal(0, 40, (SIDE, SIDE)) for k in range(FRAMES)]).astype(
        np.float32
    )


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    for number, frame in enumerate(frames()):
        write_image(
            tmp_path / "scans" / f"scan{number + 8}.tif", frame, axes="YX", pixel_size=(0.5, 0.5), units=("nm", "nm")
        )
    write_image(tmp_path / "stack.tif", frames(), axes="TYX")
    return tmp_path


def denoise(model_file, *arguments):
    return cli.main(
        ["denoise", *arguments, "--model", model_file, "--engine", "torch", "--guard", "False", "--no-verdict"]
    )


def test_folder_of_frames_is_a_series(desk, model_file, capsys):
    assert denoise(model_file, "scans", "--series", "-o", "a.tif", "--series-maps", "maps") == 0
    out = capsys.readouterr().out
    assert "frames carry a pixel on average" in out and "drift up to 6 px" in out
    made = read_image("a.tif")
    assert made.axes == "TYX" and made.shape == (FRAMES, SIDE, SIDE) and made.pixel_size_in("nm") == (0.5, 0.5)
    carried = read_image("maps/a_carried.tif").data
    assert carried[1, 10:-10, 20:-20].mean() > 3 and carried[0, :, :2].max() < 1.5
    assert read_image("maps/a_changed.tif").shape == made.shape
    with open("maps/a_drift.csv", newline="") as file:
        drift = [float(row["drift_x_px"]) for row in csv.DictReader(file)]
    assert drift == pytest.approx([0, -2, -4, -6], abs=0.2)
    with Image.open("maps/a_drift.png") as picture:
        assert picture.size == (720, 360)
    assert (desk / "maps" / "a_changes.csv").read_text().splitlines()[0] == "frame,y,x,pixels,deviations"


def test_stack_is_the_same_series_and_frames_can_stand_alone(desk, model_file, capsys):
    assert denoise(model_file, "stack.tif", "-o", "a.tif") == 0
    assert denoise(model_file, "scans", "--series", "-o", "b.tif") == 0
    assert denoise(model_file, "stack.tif", "-o", "c.zarr", "--series-maps", "maps") == 0
    assert denoise(model_file, "stack.tif", "-o", "d.tif", "--frames", "False") == 0
    a, b, c, d = (np.asarray(read_image(name).data) for name in ("a.tif", "b.tif", "c.zarr", "d.tif"))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(c, a, rtol=1e-5)
    assert np.std(d - a) > 5
    assert sorted(path.name for path in (desk / "maps").iterdir()) == ["c_changes.csv", "c_drift.csv", "c_drift.png"]


def test_images_of_a_folder_are_frames_or_slices(desk, model_file, capsys):
    assert denoise(model_file, "scans", "--series", "--volume") == 2
    assert "either slices or frames" in capsys.readouterr().err


def test_number_of_frames_needs_a_stack(desk, model_file, capsys):
    assert denoise(model_file, "scans/scan8.tif", "--frames", "4") == 2
    assert "--frames 4: expected a stack" in capsys.readouterr().err


def test_drift_is_registered_drawn_and_taken_out(desk, capsys):
    arguments = ["register", "scans", "-o", "d.csv", "--plot", "d.png", "--aligned", "aligned.tif"]
    assert cli.main(arguments) == 0
    assert "4 frames, drift up to 6 px" in capsys.readouterr().out
    aligned = read_image("aligned.tif").data
    overlap = aligned[:, 10:-10, 10:-10]
    assert np.std(overlap[3] - overlap[0]) < 60  # the noise of both
    assert np.isnan(aligned[3][:, :2]).all() != np.isnan(aligned[3][:, -2:]).all()
    with Image.open("d.png") as picture:
        assert picture.size == (720, 360)
    assert cli.main(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


def test_table_lies_beside_the_stack(desk, capsys):
    assert cli.main(["register", "stack.tif"]) == 0
    assert (desk / "stack_drift.csv").is_file()
    assert cli.main(["register", "scans/scan8.tif", "-o", "x.csv"]) == 2
    assert "stack (N, Y, X)" in capsys.readouterr().err and not (desk / "x.csv").exists()


def test_maps_replace_nothing(desk, model_file, capsys):
    (desk / "maps").mkdir()
    (desk / "maps" / "a_drift.csv").write_text("mine")
    assert denoise(model_file, "stack.tif", "-o", "a.tif", "--series-maps", "maps") == 2
    assert "is there already" in capsys.readouterr().err and not (desk / "a.tif").exists()
    assert (desk / "maps" / "a_drift.csv").read_text() == "mine"
    assert denoise(model_file, "stack.tif", "-o", "a.tif", "--series-maps", "stack.tif") == 2
    assert "needs a folder" in capsys.readouterr().err
    (desk / "other").mkdir()
    write_image(desk / "other" / "stack.tif", frames(), axes="TYX")
    assert denoise(model_file, "stack.tif", "other/stack.tif", "--series-maps", "new") == 2
    assert "two inputs" in capsys.readouterr().err


def test_frames_that_stand_alone_have_no_maps(desk, model_file, capsys):
    assert denoise(model_file, "stack.tif", "-o", "a.tif", "--frames", "False", "--series-maps", "maps") == 0
    assert "no frames looked together" in capsys.readouterr().out and not (desk / "maps").exists()


def test_registration_takes_what_denoise_takes(desk, capsys):
    with h5py.File("m.h5", "w") as file:
        file["g/d"] = frames()
    assert cli.main(["register", "m.h5:/g/d"]) == 0
    assert (desk / "m_drift.csv").is_file()
    assert cli.main(["register", "scans/scan*.tif"]) == 0
    assert (desk / "scans_drift.csv").is_file() and len(list((desk / "scans").iterdir())) == FRAMES
    assert cli.main(["register", "stack.tif", "-o", "x.csv", "--plot", "x.csv"]) == 2
    assert cli.main(["register", "stack.tif", "-o", "x.csv", "--aligned", "x.png"]) == 2
    assert "two outputs" in (err := capsys.readouterr().err) and "does not hold float32" in err
    assert not (desk / "x.csv").exists()
