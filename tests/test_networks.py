"""Every registered network, and what is particular to TomoGAN."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hush.networks import CNN, NETWORKS, TomoGAN
from napari_hush.networks.tomogan import upsample

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "receptive_radius.py"
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NETWORKS),
    ("cnn", {"widths": (2, 3), "kernel_size": 5}),
    ("tomogan", {"upsampling": "bilinear"}),
    ("tomogan", {"upsampling": "bilinear_tf1"}),
]
TITLES = [" ".join([name, *map(str, arguments.values())]) for name, arguments in VARIANTS]


@pytest.fixture(scope="module")
def radius() -> dict[str, Any]:
    if not BENCHMARK.is_file():
        pytest.skip(f"{BENCHMARK} is not here: the measurement of the radius lies beside the tests, not in the package")
    return runpy.run_path(str(BENCHMARK))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (3, 2)])
def test_forward_and_backward(name: str, in_channels: int, out_channels: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](in_channels=in_channels, out_channels=out_channels)
    assert (network.in_channels, network.out_channels) == (in_channels, out_channels)
    output = network(torch.rand(2, in_channels, 2 * network.stride, 3 * network.stride))
    assert output.shape == (2, out_channels, 2 * network.stride, 3 * network.stride)
    output.square().mean().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=TITLES)
def test_declared_halo_is_the_measured_radius(name: str, arguments: dict[str, Any], radius: dict[str, Any]) -> None:
    network = NETWORKS[name](**arguments)
    needed = radius["needed_halo"](radius["receptive_radius"](network))
    assert needed <= network.halo < needed + network.stride
    assert network.halo % network.stride == 0


@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=TITLES)
def test_pixels_beyond_the_halo_do_not_matter(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](**arguments).eval()
    stride, halo = network.stride, network.halo
    image = torch.rand(1, network.in_channels, stride, 2 * halo + 3 * stride)
    with torch.no_grad():
        whole = network(image)
        part = network(image[..., stride : stride + 2 * halo + stride])
    kept = part[..., halo : halo + stride]
    torch.testing.assert_close(kept, whole[..., stride + halo : halo + 2 * stride], rtol=0, atol=1e-6)


def test_tomogan_has_the_published_size() -> None:
    assert sum(p.numel() for p in TomoGAN().parameters()) == 694_897


def test_cnn_has_the_published_size() -> None:
    assert sum(p.numel() for p in CNN().parameters()) == 2_737


def test_tf1_upsampling_follows_its_formula() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 3, 4, 5))
    expected = np.empty((2, 3, 8, 10))
    for y in range(8):
        for x in range(10):
            ya, yb = y // 2, min(y // 2 + y % 2, 3)
            xa, xb = x // 2, min(x // 2 + x % 2, 4)
            corners = image[..., ya, xa] + image[..., ya, xb] + image[..., yb, xa] + image[..., yb, xb]
            expected[..., y, x] = corners / 4
    found = upsample(torch.from_numpy(image), "bilinear_tf1").numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bilinear_tf1"])
def test_upsampling_keeps_a_constant(mode: Any) -> None:
    found = upsample(torch.full((1, 2, 3, 4), 7.0), mode)
    assert found.shape == (1, 2, 6, 8)
    assert (found == 7).all()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tomogan", {"upsampling": "cubic"}),
        ("tomogan", {"in_channels": 0}),
        ("cnn", {"widths": ()}),
        ("cnn", {"widths": (8, 0)}),
        ("cnn", {"kernel_size": 4}),
    ],
)
def test_impossible_network_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        NETWORKS[name](**arguments)
