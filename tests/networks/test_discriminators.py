"""Every registered discriminator, and the layers of the published ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from napari_hush.networks import DISCRIMINATORS
from napari_hush.networks.patchgan import PatchGAN
from napari_hush.networks.tomogan_discriminator import TomoGANDiscriminator

SMALL: dict[str, dict[str, Any]] = {"tomogan": {"size": 24}, "patchgan": {"width": 4}}


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values.shape) for name, values in network.state_dict().items()}


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_forward_and_backward(name: str, in_channels: int) -> None:
    torch.manual_seed(0)
    network = DISCRIMINATORS[name](in_channels=in_channels, **SMALL[name])
    assert network.in_channels == in_channels
    image = torch.rand(2, in_channels, 24, 24, requires_grad=True)
    logits = network(image)
    assert len(logits) == 2
    assert logits.shape[1] == 1
    nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert image.grad is not None
    assert image.grad.abs().sum() > 0  # what the generator learns from


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_can_learn_to_tell_real_from_fake(name: str) -> None:
    torch.manual_seed(0)
    network = DISCRIMINATORS[name](**SMALL[name])
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(20):
        real, fake = torch.rand(8, 1, 24, 24), torch.rand(8, 1, 24, 24)
        fake = nn.functional.avg_pool2d(fake, 3, stride=1, padding=1)  # smoother
        logits = network(torch.cat([real, fake]))
        target = torch.cat([torch.ones_like(logits[:8]), torch.zeros_like(logits[8:])])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5  # 0.69 knows nothing


def test_patchgan_has_the_published_layers() -> None:
    expected: dict[str, tuple[int, ...]] = {}
    channels = [3, 64, 128, 256, 512, 1]
    for number, a, b in zip((0, 2, 5, 8, 11), channels, channels[1:], strict=False):
        expected |= {f"model.{number}.weight": (b, a, 4, 4), f"model.{number}.bias": (b,)}
    network = PatchGAN(in_channels=3)
    assert shapes(network) == expected
    assert sum(p.numel() for p in network.parameters()) == 2_764_737
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert network.receptive_field == 70


@pytest.mark.parametrize(("norm", "kinds"), [("batch", {"weight", "bias"}), ("none", set())])
def test_patchgan_without_instance_norm_has_no_bias_but_in_the_first_and_last(norm: Any, kinds: set[str]) -> None:
    found = shapes(PatchGAN(norm=norm))
    assert {name for name in found if name.endswith("bias") and len(found[name[:-4] + "weight"]) == 4} == {
        "model.0.bias",
        "model.11.bias",
    }
    assert {name.split(".")[2] for name in found if name.startswith("model.3.")} & {"weight", "bias"} == kinds


def test_patchgan_widens_eight_times_at_most() -> None:
    found = shapes(PatchGAN(width=2, layers=5))
    assert [size[0] for name, size in found.items() if name.endswith("weight")] == [2, 4, 8, 16, 16, 16, 1]


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field_of_patchgan_is_what_a_judgement_sees(layers: int, field: int) -> None:
    network = PatchGAN(width=1, layers=layers, norm="none").double()
    for parameter in network.parameters():  # positive, so that no two ways cancel and no ReLU is shut
        nn.init.constant_(parameter, 0.1)
    side = 3 * 2 ** (layers + 3)
    image = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    assert logits.shape[-1] == side // 2**layers - 2
    logits[0, 0, logits.shape[-2] // 2, logits.shape[-1] // 2].backward()
    assert image.grad is not None
    for axis in (0, 1):
        seen = torch.nonzero(image.grad[0, 0].sum(dim=axis)).ravel()
        assert int(seen[-1] - seen[0]) + 1 == field == network.receptive_field


def test_tomogan_discriminator_has_the_published_layers() -> None:
    network = TomoGANDiscriminator()
    convolutions = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in network.convs]
    assert convolutions == [
        (1, 64, 3, 1),
        (64, 64, 3, 2),
        (64, 128, 3, 1),
        (128, 128, 3, 2),
        (128, 128, 3, 1),
        (128, 4, 3, 2),
    ]
    assert (network.dense.in_features, network.dense.out_features) == (4 * 32 * 32, 64)
    assert (network.out.in_features, network.out.out_features) == (64, 1)
    assert sum(p.numel() for p in network.parameters()) == 673_477


def test_tomogan_discriminator_takes_its_own_size_only() -> None:
    network = TomoGANDiscriminator(size=16)
    assert network(torch.zeros(3, 1, 16, 16)).shape == (3, 1)
    with pytest.raises(ValueError, match=r"expected patches of 1 channels and 16 x 16 px, got \(1, 24, 16\)"):
        network(torch.zeros(3, 1, 24, 16))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tomogan", {"size": 12}),
        ("tomogan", {"size": 0}),
        ("tomogan", {"in_channels": 0}),
        ("patchgan", {"layers": 0}),
        ("patchgan", {"width": 0}),
        ("patchgan", {"norm": "layer"}),
    ],
)
def test_impossible_discriminator_is_refused(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        DISCRIMINATORS[name](**arguments)
