"""Checkpoints of normalised weights, of Lightning and Fabric, and of several networks in one flat dict."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from cyclegan_reference import make_reference
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.pytorch.folding import Fold, put_together
from napari_hush.importers.registry import load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NORMALISATIONS: dict[str, Callable[[nn.Module], object]] = {
    "spectral, hooks": nn.utils.spectral_norm,
    "spectral, parametrized": nn.utils.parametrizations.spectral_norm,
    "weight, hooks": nn.utils.weight_norm,
    "weight, parametrized": nn.utils.parametrizations.weight_norm,
    "weight, one size for all": lambda module: nn.utils.parametrizations.weight_norm(module, dim=None),
}


def normalised(kind: str, normalise: Callable[[nn.Module], object], norm: str = "instance") -> nn.Module:
    """A generator after a little training, in evaluation."""
    network = make_reference(kind, norm=norm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the hooks, which today's torch still has
        for module in list(network.modules()):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                normalise(module)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for step in range(3):
        image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(step))
        (network(image) - image).square().mean().backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("kind", ["resnet_1blocks", "unet_32"])
@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalised_weights_are_folded_as_torch_does_in_evaluation(tmp_path: Path, name: str, kind: str) -> None:
    network = normalised(kind, NORMALISATIONS[name])
    path = tmp_path / "G.pth"
    torch.save(network.state_dict(), path)
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(load_model(path).network(image), network(image), rtol=1e-5, atol=1e-5)


def test_spectral_norm_of_a_square_transposed_convolution_takes_its_own_axis() -> None:
    module = nn.utils.parametrizations.spectral_norm(nn.ConvTranspose2d(3, 3, 2), n_power_iterations=5).eval()
    state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    parts = ("original", "0._u", "0._v")
    fold = Fold(True, tuple(f"parametrizations.weight.{part}" for part in parts))
    found = put_together("weight", fold, state, transposed=True)
    torch.testing.assert_close(found, module.weight.detach())
    assert not torch.allclose(put_together("weight", fold, state, transposed=False), found)


def test_spectral_norm_without_v_is_that_of_one_step_more() -> None:
    module = nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 3, 3), n_power_iterations=60)
    module.train()(torch.zeros(1, 2, 8, 8))
    state = {name: tensor.detach() for name, tensor in module.eval().state_dict().items()}
    fold = Fold(True, ("parametrizations.weight.original", "parametrizations.weight.0._u"))
    found = put_together("weight", fold, state, transposed=False)
    torch.testing.assert_close(found, module.weight.detach(), rtol=1e-4, atol=1e-6)


def test_result_that_old_files_keep_beside_the_parts_is_taken(tmp_path: Path) -> None:
    network = normalised("resnet_1blocks", nn.utils.spectral_norm)
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        expected = network(image)  # the hooks make the results
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("_v")}
    results = {name: network.get_submodule(name.rpartition(".")[0]).weight for name in parts_of(state)}
    torch.save({**state, **{name: result.detach() for name, result in results.items()}}, tmp_path / "G.pth")
    torch.testing.assert_close(load_model(tmp_path / "G.pth").network(image), expected, rtol=1e-5, atol=1e-5)


def parts_of(state: dict[str, torch.Tensor]) -> list[str]:
    return [name.removesuffix("_orig") for name in state if name.endswith("weight_orig")]


def broken(change: Callable[[dict[str, torch.Tensor]], object]) -> dict[str, torch.Tensor]:
    state = dict(normalised("resnet_1blocks", nn.utils.spectral_norm).state_dict())
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update({"model.1.weight_u": torch.ones(3)}), r"spectral normalisation.*\(3,\).*save the weights"),
        (lambda s: s.update({"model.1.weight_u": torch.zeros(2)}), "spectral normalisation.*divides by 0"),
        (lambda s: s.pop("model.1.weight_u"), r"stored in parts \(orig, v\).*remove_parametrizations"),
        (lambda s: s.update({"model.1.parametrizations.weight.1.q": torch.ones(2)}), "stored in parts"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path: Path, change: Any, message: str) -> None:
    torch.save(broken(change), tmp_path / "G.pth")
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "G.pth")


@pytest.mark.parametrize(
    "prefix", ["model.", "net.", "generator.", "_forward_module.", "netG.module.", "a.b._orig_mod."]
)
@pytest.mark.parametrize("kind", ["resnet_1blocks", "unet_32"])
def test_generator_inside_a_larger_module_is_read(tmp_path: Path, kind: str, prefix: str) -> None:
    state = make_reference(kind).state_dict()
    flat = {prefix + name: tensor for name, tensor in state.items()} | {"loss.vgg.0.weight": torch.zeros(2, 1, 3, 3)}
    torch.save({"state_dict": flat, "epoch": 3, "pytorch-lightning_version": "2.4.0"}, tmp_path / "last.ckpt")
    found = load_model(tmp_path / "last.ckpt").network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("wrap", [lambda flat: flat, lambda flat: {"state_dict": flat}])
def test_entry_chooses_a_generator_of_a_flat_dict(tmp_path: Path, wrap: Any) -> None:
    a, b = make_reference("resnet_1blocks", seed=1).state_dict(), make_reference("unet_32", seed=2).state_dict()
    d = {"model.0.weight": torch.zeros(2, 1, 4, 4), "model.0.bias": torch.zeros(2)}
    networks = {"G_A.": a, "G_B.": b, "D_A.": d}
    flat = {start + name: tensor for start, state in networks.items() for name, tensor in state.items()}
    path = tmp_path / "both.pth"
    torch.save(wrap(flat), path)
    with pytest.raises(ModelFileError, match=r'several generators \((\w+\.)?G_A, (\w+\.)?G_B\).*entry="(\w+\.)?G_A"'):
        load_model(path)
    with pytest.raises(InputError, match="no generator 'D_A' in the file; it has"):
        load_model(path, entry="D_A")
    model = load_model(path, entry="G_B")
    assert "B to A" in model.card.description
    found = model.network.state_dict()
    assert found.keys() == b.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in b.items())
