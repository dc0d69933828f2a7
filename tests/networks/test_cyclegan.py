"""Checkpoints of CycleGAN and pix2pix compute with our networks what they compute with torch's own layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from cyclegan_reference import make_reference
from napari_hush.importers.registry import load_model
from napari_hush.networks import NETWORKS

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    "resnet_9blocks": ("cyclegan_resnet", {"blocks": 9}),
    "resnet_6blocks": ("cyclegan_resnet", {"blocks": 6}),
    "unet_256": ("cyclegan_unet", {"levels": 8}),
    "unet_128": ("cyclegan_unet", {"levels": 7}),
}


def assert_same_results(path: Path, reference: torch.nn.Module, expected: dict[str, Any], side: int) -> None:
    torch.save(reference.state_dict(), path)
    model = load_model(path)
    assert {key: model.hyperparameters[key] for key in expected} == expected
    assert model.network.state_dict().keys() == reference.state_dict().keys()
    inputs = expected["in_channels"]
    image = 2 * torch.rand(1, inputs, side, side * (1 + (side < 256)), generator=torch.Generator().manual_seed(1)) - 1
    with torch.no_grad():
        found, wanted = model.network(image), reference(image)
    assert wanted.std() > 0.02
    assert wanted.abs().mean() < 0.9
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_checkpoint_computes_what_its_network_did(
    tmp_path: Path, kind: str, channels: int, dropout: bool, norm: str
) -> None:
    reference = make_reference(kind, inputs=channels, outputs=channels, dropout=dropout, norm=norm)
    architecture, arguments = KINDS[kind]
    expected = {"in_channels": channels, "out_channels": channels, "width": 2, "norm": norm, **arguments}
    if architecture == "cyclegan_resnet":
        expected["dropout"] = dropout
    assert_same_results(tmp_path / "latest_net_G_A.pth", reference, expected, 2 ** arguments.get("levels", 5))


@pytest.mark.parametrize("kind", ["resnet_1blocks", "resnet_12blocks", "unet_32", "unet_64", "unet_512", "unet_1024"])
def test_sizes_that_were_never_published(tmp_path: Path, kind: str) -> None:
    reference = make_reference(kind, inputs=2, outputs=4)
    side = int(kind.removeprefix("unet_")) if kind.startswith("unet") else 16
    assert_same_results(tmp_path / "latest_net_G.pth", reference, {"in_channels": 2, "out_channels": 4}, side)


def test_published_width(tmp_path: Path) -> None:
    reference = make_reference("resnet_9blocks", inputs=3, outputs=3, width=64)
    assert_same_results(tmp_path / "latest_net_G_A.pth", reference, {"in_channels": 3, "width": 64, "blocks": 9}, 32)


@pytest.mark.parametrize(
    ("kind", "channels", "n_parameters"),
    [
        ("resnet_9blocks", 3, 11_378_179),
        ("resnet_9blocks", 1, 11_365_633),
        ("resnet_6blocks", 3, 7_837_699),
        ("resnet_6blocks", 1, 7_825_153),
        ("unet_256", 3, 54_409_603),
        ("unet_128", 3, 41_825_667),
    ],
)
def test_published_number_of_parameters(kind: str, channels: int, n_parameters: int) -> None:
    architecture, arguments = KINDS[kind]
    with torch.device("meta"):
        ours = NETWORKS[architecture](in_channels=channels, out_channels=channels, **arguments)
        reference = make_reference(kind, inputs=channels, outputs=channels, width=64)
    for network in (ours, reference):
        assert sum(p.numel() for p in network.parameters()) == n_parameters
    shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in (ours, reference)]
    assert shapes[0] == shapes[1]
