"""What several tests of commands need."""

import pytest
import torch

from napari_hush.card import ModelCard
from napari_hush.model import Model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    model = Model.create("unet", {"width": 4, "levels": 2}, card=ModelCard(name="tiny"))  # gives back what it is given
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    model.save(path)
    return str(path)
