"""Tiles cover a plane exactly once, on the network's grid, with enough context."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_hush.inference.tiles.geometry import aligned, balanced_tile, plan_tiles

sizes = st.integers(1, 300)
plans = st.fixed_dictionaries(
    {
        "shape": st.tuples(sizes, sizes),
        "tile": st.one_of(st.none(), st.tuples(st.integers(1, 90), st.integers(1, 90))),
        "halo": st.integers(0, 48),
        "stride": st.sampled_from([1, 2, 8]),
    }
)


@given(plan=plans, corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)), extent=st.floats(0.01, 1))
def test_cores_cover_a_region_exactly_once(plan, corner, extent):
    height, width = plan["shape"]
    y0, x0 = int(corner[0] * height), int(corner[1] * width)
    y1, x1 = y0 + max(int(extent * (height - y0)), 1), x0 + max(int(extent * (width - x0)), 1)
    count = np.zeros(plan["shape"], int)
    for tile in plan_tiles(**plan, region=(y0, y1, x0, x1)):
        count[tile.core_slices()] += 1
    expected = np.zeros(plan["shape"], int)
    expected[y0:y1, x0:x1] = 1
    np.testing.assert_array_equal(count, expected)


@given(plan=plans)
def test_windows_are_aligned_alike_and_have_the_halo_or_the_border(plan):
    stride, halo = plan["stride"], plan["halo"]
    tiles = plan_tiles(**plan)
    assert len({(t.window[1] - t.window[0], t.window[3] - t.window[2]) for t in tiles}) == 1
    for tile in tiles:
        for axis in range(2):
            size = plan["shape"][axis]
            core = tile.core[2 * axis : 2 * axis + 2]
            window = tile.window[2 * axis : 2 * axis + 2]
            assert window[0] % stride == 0
            assert window[1] % stride == 0
            assert 0 <= window[0] <= core[0] < core[1] <= min(window[1], size)
            assert window[1] <= aligned(size, stride)
            assert core[0] - window[0] >= halo or window[0] == 0
            assert window[1] - core[1] >= halo or window[1] == aligned(size, stride)


@given(plan=plans, grid=st.integers(1, 40))
def test_inner_edges_fall_on_the_grid_where_tiles_are_large_enough(plan, grid):
    if plan["tile"] is None or min(plan["tile"]) < grid + plan["stride"]:
        return
    for tile in plan_tiles(**plan, grid=(grid, grid)):
        for edge, size in zip(tile.core[1::2], plan["shape"], strict=True):
            assert edge == size or edge % grid == 0


@given(
    shape=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    area=st.integers(150**2, 2000**2),
    halo=st.sampled_from([0, 5, 40, 48]),
)
def test_balanced_tiles_respect_the_memory_limit(shape, area, halo):
    tile = balanced_tile(shape, halo=halo, stride=8, max_window_area=area)
    window = plan_tiles(shape, tile=tile, halo=halo, stride=8)[0].window
    assert (window[1] - window[0]) * (window[3] - window[2]) <= area


def test_balanced_tiles_beat_square_ones_of_the_same_memory():
    def cost(tile):
        return sum(
            (t.window[1] - t.window[0]) * (t.window[3] - t.window[2])
            for t in plan_tiles((2048, 2048), tile=tile, halo=40, stride=8)
        )

    side = int(700_000**0.5) // 8 * 8 - 80
    balanced = balanced_tile((2048, 2048), halo=40, stride=8, max_window_area=700_000)
    assert cost(balanced) <= cost((side, side))
    assert cost(balanced) < 1.2 * 2048**2


def test_memory_for_less_than_a_halo_still_gives_a_tile():
    assert min(balanced_tile((4000, 4000), halo=40, stride=8, max_window_area=100)) >= 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (0, 5)},
        {"tile": (0, 4)},
        {"halo": -1},
        {"stride": 0},
        {"region": (0, 9, 0, 20)},
        {"region": (3, 3, 0, 2)},
        {"grid": (0, 1)},
    ],
)
def test_impossible_plans_are_refused(wrong):
    plan = {"shape": (10, 12), "tile": (4, 4), "halo": 1, "stride": 2} | wrong
    with pytest.raises(ValueError, match=r"cannot tile|does not lie"):
        plan_tiles(**plan)
