"""Names, colours, ranges and labels of an image go where its axes go, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_hush.io import ImageData, read_image, read_volume, write_image
from napari_hush.io.metadata import Channel, Metadata, ramp
from napari_hush.io.metadata_note import metadata_of, note_of, note_text, parse_note

if TYPE_CHECKING:
    from pathlib import Path

TABLE = bytes(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8))
TWO = (Channel("DAPI", ramp(0, 0, 255), (1.5, 200.0)), Channel("GFP", TABLE, (-3.0, 4e4)))


def stack_of(axes: str, shape: tuple[int, ...], metadata: Metadata) -> ImageData:
    return ImageData(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), axes, metadata=metadata)


def test_channels_and_labels_that_do_not_fit_are_left_out() -> None:
    metadata = Metadata("n", channels=TWO, labels=("a", "b", "c", "d"))
    assert stack_of("ZCYX", (2, 2, 4, 5), metadata).metadata == metadata
    assert stack_of("CYX", (2, 4, 5), metadata).metadata == Metadata("n", channels=TWO)
    assert stack_of("ZYX", (4, 4, 5), metadata).metadata == Metadata("n", labels=("a", "b", "c", "d"))
    assert stack_of("YXC", (4, 5, 2), metadata).metadata == Metadata("n", channels=TWO)


def test_labels_follow_time_to_the_front() -> None:
    labels = tuple(f"z{z} t{t}" for z in range(2) for t in range(3))
    image = stack_of("ZTYX", (2, 3, 4, 5), Metadata(labels=labels)).time_first()
    assert image.axes == "TZYX" and image.metadata.labels[:3] == ("z0 t0", "z1 t0", "z0 t1")


def test_other_letters_keep_labels_and_only_channels_of_the_same_place() -> None:
    image = stack_of("CYX", (2, 4, 5), Metadata(channels=TWO, labels=("a", "b")))
    assert image.with_axes("CYX").metadata == image.metadata
    assert image.with_axes("TYX").metadata == Metadata(labels=("a", "b"))


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_a_result_of_other_axes_has_no_wrong_channels_nor_labels(tmp_path: Path, ending: str) -> None:
    image = stack_of("ZCYX", (2, 2, 24, 20), Metadata("n", "d", channels=TWO, labels=("a", "b", "c", "d")))
    write_image(tmp_path / f"a{ending}", image.data[:1], like=image)
    assert read_image(tmp_path / f"a{ending}").metadata == Metadata("n", "d", channels=TWO)
    write_image(tmp_path / f"b{ending}", image.data[:, 0], like=image, axes="ZYX")
    assert read_image(tmp_path / f"b{ending}").metadata == Metadata("n", "d")
    write_image(tmp_path / f"c{ending}", image.data.swapaxes(0, 1), like=image, axes="CZYX")
    assert read_image(tmp_path / f"c{ending}").metadata.labels == ()


def test_a_map_of_another_quantity_has_no_display_range_and_no_colour() -> None:
    image = stack_of("CYX", (2, 4, 5), Metadata("n", channels=TWO, labels=("a", "b"), inverted=True))
    kept = Metadata("n", channels=(Channel("DAPI"), Channel("GFP")), labels=("a", "b"))
    assert image.of_other_values().metadata == kept


def test_slices_of_a_volume_are_labelled_with_their_files(tmp_path: Path) -> None:
    for name in ("s2", "s10", "s1"):
        write_image(tmp_path / f"{name}.tif", np.ones((9, 9), np.float32))
    assert read_volume(tmp_path).metadata.labels == ("s1", "s2", "s10")


def test_notes_come_back_and_made_up_ones_are_harmless() -> None:
    metadata = Metadata("µ", "d\n", "2020-02-03", TWO, ("a", ""), inverted=True)
    assert parse_note(note_text(metadata)) == metadata
    assert note_of(Metadata()) == {} and note_text(Metadata()) == ""
    for text in ("[" * 10_000, "1", '{"channels": 3, "labels": {"a": 1}, "name": 7, "inverted": "yes"}', b"\xff", ""):
        assert parse_note(text) == Metadata()
    strange = {"channels": [3, {"lut": "zz", "limits": [1]}, {"lut": "#00", "limits": [1, float("nan")]}]}
    assert metadata_of(strange) == Metadata(channels=(Channel(), Channel(), Channel()))


def test_of_two_accounts_the_first_counts_and_a_whole_table_comes_before_its_colour() -> None:
    first = Metadata("a", channels=(Channel("x", ramp(*TWO[1].colour or (0, 0, 0))), Channel(limits=(0, 1))))
    second = Metadata("b", "d", channels=(Channel("y", TABLE), Channel("z", limits=(2, 3))))
    assert first.merged(second) == Metadata("a", "d", channels=(Channel("x", TABLE), Channel("z", limits=(0, 1))))
