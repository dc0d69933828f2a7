"""Every registered network, and what is particular to some of them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, max_pool2d, pad

from napari_hush.networks import NETWORKS, Traits
from napari_hush.networks.autoencoder import Autoencoder
from napari_hush.networks.cyclegan import InstanceNorm
from napari_hush.networks.tomogan import TomoGAN, upsample
from napari_hush.networks.unet import UNet
from small_networks import SMALL

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "receptive_radius.py"
PARAMETERS = {
    "cnn": 2_737,
    "autoencoder": 194_177,
    "unet": 1_882_753,
    "tomogan": 694_897,
    "cyclegan_resnet": 11_365_633,
    "cyclegan_unet": 54_403_457,
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, SMALL.get(name, {})) for name in NETWORKS),
    ("cnn", {"widths": (2, 3), "kernel_size": 5}),
    ("autoencoder", {"widths": (1, 1, 2, 2)}),
    ("autoencoder", {"widths": (2, 3), "pooling": 1}),
    ("autoencoder", {"widths": (2, 3, 4), "kernel_size": 2}),
    ("autoencoder", {"widths": (2, 3), "kernel_size": 4}),
    ("autoencoder", {"widths": (2,), "pooling": 3, "kernel_size": 7}),
    *(("unet", {"width": 2, "levels": levels}) for levels in (1, 2, 5)),
    *(("unet", {"width": 2, "levels": levels, "upsampling": "nearest"}) for levels in (1, 2, 3, 5)),
    ("tomogan", {"depth": 3}),
    ("tomogan", {"upsampling": "bilinear"}),
    ("tomogan", {"upsampling": "bilinear_tf1"}),
    ("cyclegan_resnet", {"width": 2, "blocks": 6, "norm": "batch"}),
    ("cyclegan_resnet", {"width": 2, "blocks": 9, "dropout": True}),
    ("cyclegan_unet", {"width": 1, "levels": 6, "norm": "none"}),
    ("cyclegan_unet", {"width": 1, "levels": 7}),
]
TITLES = [" ".join([name, *(f"{key}={value}" for key, value in arguments.items())]) for name, arguments in VARIANTS]


def build(name: str, **arguments: Any) -> Any:
    """A network with random weights that all matter, and norms whose statistics don't depend on the image."""
    torch.manual_seed(0)
    network = NETWORKS[name](**arguments)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.normal_(parameter, std=0.1)
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            module.statistics = (torch.full((1, 1, 1, 1), 0.1), torch.full((1, 1, 1, 1), 0.8))
    return network


@pytest.fixture(scope="module")
def radius() -> dict[str, Any]:
    if not BENCHMARK.is_file():
        pytest.skip(f"{BENCHMARK} is not here: the measurement of the radius lies beside the tests, not in the package")
    return runpy.run_path(str(BENCHMARK))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("in_channels", "out_channels"), [(1, 1), (3, 2)])
def test_forward_and_backward(name: str, in_channels: int, out_channels: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](in_channels=in_channels, out_channels=out_channels, **SMALL.get(name, {}))
    assert (network.in_channels, network.out_channels) == (in_channels, out_channels)
    output = network(torch.rand(2, in_channels, 2 * network.stride, 3 * network.stride))
    assert output.shape == (2, out_channels, 2 * network.stride, 3 * network.stride)
    output.square().mean().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


@pytest.mark.parametrize("name", NETWORKS)
def test_default_network_says_what_it_needs(name: str) -> None:
    with torch.device("meta"):  # without the time for initial weights: the largest has 54 million
        network = NETWORKS[name]().eval()
    side = max(network.stride, 8)
    with torch.no_grad():
        assert network.to_empty(device="cpu")(torch.zeros(1, 1, side, side)).shape == (1, 1, side, side)
    assert isinstance(network.live_channels, int)
    assert network.live_channels > 0
    traits = Traits.of(network)
    assert traits.value_range[0] < traits.value_range[1]
    assert traits.smallest >= 1
    assert traits == Traits.of(type(network))


@pytest.mark.parametrize("name", PARAMETERS)
def test_default_network_has_its_published_or_documented_size(name: str) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in NETWORKS[name]().parameters()) == PARAMETERS[name]


def test_the_names_are_known_without_torch() -> None:
    code = "import sys; from napari_hush.networks import DISCRIMINATORS, NETWORKS; list(NETWORKS), list(DISCRIMINATORS)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=TITLES)
def test_declared_halo_is_the_measured_radius(name: str, arguments: dict[str, Any], radius: dict[str, Any]) -> None:
    network = NETWORKS[name](**arguments)
    needed = radius["needed_halo"](network)
    assert needed <= network.halo < needed + network.stride
    assert network.halo % network.stride == 0


@pytest.mark.parametrize("name", ["cnn", "unet", "tomogan", "cyclegan_resnet"])
def test_halo_of_a_tile_follows_from_the_radius_of_each_pixel(name: str, radius: dict[str, Any]) -> None:
    network = NETWORKS[name](**SMALL.get(name, {}))
    radii = radius["receptive_radius"](network)
    assert len(radii) == network.stride
    beyond = [max(low - i, high - (network.stride - 1 - i)) for i, (low, high) in enumerate(radii)]
    assert max(beyond) == radius["needed_halo"](network)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=TITLES)
def test_pixels_beyond_the_halo_do_not_matter(name: str, arguments: dict[str, Any]) -> None:
    network = build(name, **arguments).eval()
    stride, halo = network.stride, network.halo
    image = torch.rand(1, network.in_channels, 2 * stride, 2 * halo + 3 * stride)
    with torch.no_grad():
        whole = network(image)
        part = network(image[..., stride : stride + 2 * halo + stride])
    kept = part[..., halo : halo + stride]
    expected = whole[..., stride + halo : halo + 2 * stride]
    assert expected.std() > 1e-3
    torch.testing.assert_close(kept, expected, rtol=0, atol=1e-5 * float(whole.abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_network_with_statistics_of_the_whole_image_gives_stages(name: str) -> None:
    network = NETWORKS[name](**SMALL.get(name, {}))
    if any(isinstance(module, InstanceNorm | torch.nn.InstanceNorm2d) for module in network.modules()):
        *_, last = network.stages()  # type: ignore[operator]
        assert last.output == "result"


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_unet_makes_no_checkerboard(upsampling: str) -> None:
    network = build("unet", width=8, upsampling=upsampling)
    halo = network.halo
    with torch.no_grad():
        correction = network(torch.full((1, 1, 2 * halo + 32, 2 * halo + 32), 0.7)) - 0.7
    inside = correction[..., halo:-halo, halo:-halo]
    assert np.ptp(correction.numpy()) > 0.01  # zeros beyond the border do show
    assert np.ptp(inside.numpy()) <= 1e-5 * float(correction.abs().max())


def test_untrained_unet_is_the_identity_where_it_can_be() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 16, 24)
    assert torch.equal(UNet(in_channels=3, out_channels=3)(image), image)
    assert torch.equal(UNet(in_channels=3, out_channels=1)(image), torch.zeros(2, 1, 16, 24))


def test_unet_learns() -> None:
    torch.manual_seed(0)
    clean = torch.nn.functional.interpolate(torch.rand(2, 1, 4, 4), scale_factor=8.0, mode="bilinear")
    noisy = clean + 0.3 * torch.randn_like(clean)
    network = UNet(width=4, levels=2)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = (network(noisy) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_kernel_of_keras_fits_into_one_a_pixel_larger() -> None:
    torch.manual_seed(0)
    network = Autoencoder(widths=(2,), kernel_size=4).double()
    state = {name: torch.rand_like(values) for name, values in network.state_dict().items()}
    for name in ("down.0.weight", "up.0.weight"):
        state[name][:, :, 0] = state[name][:, :, :, 0] = 0
    network.load_state_dict(state)

    def keras_conv(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return conv2d(pad(x, (0, 1, 0, 1)), weight[:, :, 1:, 1:], stride=2)  # "same": all padding at the end

    image = torch.rand(1, 1, 8, 12, dtype=torch.float64)
    small = keras_conv(image, state["down.0.weight"]) + state["down.0.bias"][:, None, None]
    large = max_pool2d(small.relu(), 2).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    probe = torch.zeros_like(image, requires_grad=True)  # a transposed convolution is the gradient of a convolution
    keras_conv(probe, state["up.0.weight"]).backward(large)
    assert probe.grad is not None
    torch.testing.assert_close(network(image), probe.grad + state["up.0.bias"])


def test_slices_of_tomogan_take_the_place_of_channels() -> None:
    network = TomoGAN(depth=3)
    assert (network.depth, network.in_channels, network.out_channels) == (3, 3, 1)
    assert network(torch.zeros(1, 3, 8, 16)).shape == (1, 1, 8, 16)
    with pytest.raises(ValueError, match="slices take the place of channels"):
        TomoGAN(depth=3, in_channels=2)


def test_tomogan_of_older_files_takes_single_images() -> None:
    network = TomoGAN(**{"in_channels": 1, "out_channels": 1, "upsampling": "nearest"})  # type: ignore[arg-type]
    assert (network.depth, network.in_channels) == (1, 1)


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
        ("tomogan", {"depth": 0}),
        ("cnn", {"kernel_size": 4}),
        ("autoencoder", {"widths": ()}),
        ("autoencoder", {"widths": (8, 0)}),
        ("autoencoder", {"pooling": 0}),
        ("autoencoder", {"pooling": 1000}),
        ("autoencoder", {"kernel_size": 1}),
        ("unet", {"upsampling": "transposed"}),
        ("unet", {"width": 0}),
        ("unet", {"levels": 0}),
        ("unet", {"levels": 10**9}),
    ],
)
def test_impossible_network_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        NETWORKS[name](**arguments)
