"""Tests of models and engines that are kept from one image to the next."""

from __future__ import annotations

import pytest

from napari_hush.inference.engines.openvino_engine import SMALL
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.settings import DenoiseSettings


def test_a_large_image_after_a_small_one_gets_the_engine_for_large_ones() -> None:
    pytest.importorskip("openvino")
    with LoadedModels(DenoiseSettings(device="cpu")) as loaded:
        model = loaded.model("stem")
        assert loaded.engine(model, SMALL // 2).name == "torch"
        large = loaded.engine(model, 10 * SMALL)
        assert large.name == "openvino"
        assert loaded.engine(model, SMALL // 2) is large
        assert loaded.engine(model, 20 * SMALL) is large


def test_of_several_images_each_gets_one_engine() -> None:
    with LoadedModels(DenoiseSettings(device="cpu"), many=True) as loaded:
        model = loaded.model("stem")
        assert loaded.engine(model, 100) is loaded.engine(model, 10 * SMALL)
