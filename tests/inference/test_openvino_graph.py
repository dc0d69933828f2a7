"""OpenVINO's graph of a network is the same computation, or it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_hush.inference.engines.openvino_graph import UnknownOperationError, build_graph
from napari_hush.networks import NETWORKS
from napari_hush.networks.graph import Graph
from small_networks import SMALL

openvino = pytest.importorskip("openvino")

VARIANTS = {name: (name, SMALL.get(name, {})) for name in NETWORKS} | {
    "cnn of colours": ("cnn", {"in_channels": 3, "out_channels": 3, "kernel_size": 5}),
    "autoencoder even kernel": ("autoencoder", {"widths": (4, 8), "pooling": 1, "kernel_size": 4}),
    "autoencoder pooling 3": ("autoencoder", {"widths": (4,), "pooling": 3}),
    "unet nearest": ("unet", {"width": 4, "upsampling": "nearest"}),
    "tomogan slices": ("tomogan", {"depth": 3}),
    "tomogan bilinear": ("tomogan", {"upsampling": "bilinear"}),
    "tomogan bilinear_tf1": ("tomogan", {"upsampling": "bilinear_tf1"}),
    "resnet batch": ("cyclegan_resnet", {"width": 4, "blocks": 1, "norm": "batch", "dropout": True}),
    "resnet none": ("cyclegan_resnet", {"width": 4, "blocks": 1, "norm": "none"}),
    "cyclegan unet batch": ("cyclegan_unet", {"width": 2, "levels": 6, "norm": "batch", "dropout": True}),
}


def make(architecture: str, hyperparameters: dict) -> nn.Module:
    """A network whose weights are large enough to matter."""
    torch.manual_seed(0)
    network = NETWORKS[architecture](**hyperparameters)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def run(network: nn.Module, *arrays: np.ndarray) -> np.ndarray:
    graph = build_graph(openvino, network, [array.shape for array in arrays])
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(list(arrays))[0]


def exact(network: nn.Module, *arrays: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found = network.double()(*(torch.from_numpy(array).double() for array in arrays)).numpy()
    network.float()
    return found


@pytest.mark.parametrize("kind", VARIANTS)
def test_graph_computes_what_the_network_computes(kind):
    network = make(*VARIANTS[kind])
    side = max(network.stride, 24 // network.stride * network.stride)
    shape = (2, network.in_channels, 2 * side, 3 * side)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = exact(network, image)
    assert np.ptp(expected) > 0.1
    assert np.abs(run(network, image) - expected).max() <= 1e-5 * np.ptp(expected)


class Other(nn.Module):
    """What the package's own networks do not do, and is known all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, stride=(1, 2), padding="valid", dilation=(2, 1))
        self.norm = nn.InstanceNorm2d(2, affine=True)
        self.register_buffer("gain", torch.tensor([[[[2.0]], [[3.0]]]]))
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = functional.pad(functional.leaky_relu(1 - x, 0.2), (4, 1, 0, 2), value=3.0)
        x = self.gain * self.norm(functional.conv2d(x, self.conv.weight, self.conv.bias, (1, 2), (0, 1), (2, 1)))
        x = functional.interpolate(x, size=(9, 11)) - functional.interpolate(x, size=[9, 11], mode="bilinear") / 3
        x = functional.avg_pool2d(x, 3, 1, padding=1) + functional.max_pool2d(x, (3, 3), 1, padding=1)
        x = functional.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)
        return (
            torch.cat([self.gain.expand(1, 2, 9, 11), 2 * x[..., 1:, ::2].reshape(1, 4, -1, 6)[:, :2]], 2) + y
            if x.shape[-1] == 6
            else torch.stack([x[..., 1:-1], self.gain + x[:, :, :, :9]], 2).reshape(1, 4, 9, 9) * y
        )


def test_other_operations_are_the_same_too():
    torch.manual_seed(0)
    network = Other().eval()
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((1, 1, 13, 17), (1, 4, 1, 1))]
    expected = exact(network, *arrays)
    assert np.abs(run(network, *arrays) - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.parametrize("name", ["relu", "elu", "sigmoid", "silu", "gelu", "gelu_tanh", "tanh", "leaky_relu"])
def test_network_of_a_list_of_layers_is_the_same_too(name):
    layers = [
        {"op": "conv", "out": 3, "kernel": [4, 3], "stride": [2, 2]},
        {"op": "activation", "name": name},
        {"op": "affine"},
        {"op": "prelu"},
        {"op": "maxpool", "kernel": [3, 3], "stride": [1, 1], "padding": "same"},
        {"op": "deconv", "out": 2, "kernel": [3, 3], "stride": [2, 2]},
        {"op": "concat", "of": [0, 6]},
        {"op": "conv", "out": 3, "kernel": [1, 1]},
        {"op": "add", "of": [7, 8]},
    ]
    torch.manual_seed(0)
    network = Graph(layers=layers).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    image = np.random.default_rng(0).normal(size=(1, 1, 12, 16)).astype(np.float32)
    expected = exact(network, image)
    assert np.abs(run(network, image) - expected).max() <= 1e-5 * np.ptp(expected)


REFUSED = {
    "an operation without a counterpart": lambda x: torch.fft.fft2(x),
    "a method without a counterpart": lambda x: x.sum(),
    "arguments that are not known": lambda x: torch.add(x, x, alpha=2),
    "a sum in place": lambda x: x.__iadd__(1),
    "an activation in place": lambda x: functional.relu(x, inplace=True),
    "values set in place": lambda x: x.__setitem__(0, 1),
    "a comparison": lambda x: x if x == 0 else -x,
    "a decision": lambda x: x if x else x * 2,
    "an index": lambda x: x[0],
    "corners": lambda x: functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
    "a broken factor": lambda x: functional.interpolate(x, scale_factor=1.5),
    "another interpolation": lambda x: functional.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "a border that goes around": lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular"),
    "dropout in training": lambda x: functional.dropout(x, training=True),
    "batch normalisation in training": lambda x: functional.batch_norm(x, None, None, training=True),
    "groups": lambda x: functional.conv2d(x, torch.zeros(2, 1, 3, 3), groups=2),
    "a pooling that rounds up": lambda x: functional.max_pool2d(x, 3, ceil_mode=True),
    "two results": lambda x: (x, x),
}


class Calls(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_known_is_refused(what):
    with pytest.raises(UnknownOperationError):
        build_graph(openvino, Calls(REFUSED[what]), [(1, 2, 8, 8)])


def test_the_graph_has_weights_of_its_own_and_the_network_keeps_its_own():
    network = make("cnn", {})
    image = np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype(np.float32)
    before = exact(network, image)
    graph = build_graph(openvino, network, [image.shape])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    assert np.abs(exact(network, image) - before).max() > 0.1
    assert np.abs(openvino.Core().compile_model(graph, "CPU")(image)[0] - before).max() < 1e-5 * np.ptp(before)
