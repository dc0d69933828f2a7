"""Arrays whose planes are read one by one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.io.formats.planes import PlaneArray

WHOLE = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 6)).astype(np.uint16)


@pytest.mark.parametrize("leading", [0, 1, 2])
@pytest.mark.parametrize(
    "key", [np.s_[...], np.s_[1], np.s_[1:, ::-2, 2], np.s_[..., 3], np.s_[-1, 2, 1:3, 4], np.s_[[0, 2]], np.s_[2:2]]
)
def test_a_part_is_that_of_the_whole_and_reads_no_other_planes(leading: int, key: object) -> None:
    asked = []

    def read(index: tuple[int, ...]) -> np.ndarray:
        asked.append(index)
        return WHOLE[index]

    array = PlaneArray(WHOLE.shape[:leading], WHOLE.shape[leading:], WHOLE.dtype, read)
    assert array.shape == WHOLE.shape and np.array_equal(array[key], WHOLE[key])  # type: ignore[index]
    if leading == 1 and key == 1:
        assert asked == [(1,)]


def test_a_plane_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"plane \(0,\) has the shape"):
        PlaneArray((3,), (9, 9), "u2", lambda index: WHOLE[index])[0]
