"""What files of other projects do not say and a person may: the options of the importers, for Python and the shell.

They are checked by the importer that gets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class KerasOptions:
    """What a Keras file does not say.

    Parameters
    ----------
    upsampling : {"file", "nearest", "bilinear", "bilinear_tf1"}
        How TomoGAN's decoder doubles the size. ``file`` takes the file's word; where the file is silent, nearest,
        as Keras does. The published ``TomoGAN.h5`` is silent, but was most likely trained with ``bilinear_tf1``.
    value_range : tuple of float, optional
        The values that the network was trained on. Default: 0-255 for TomoGAN, 0-1 for a plain CNN, as published;
        the file does not say.
    normalization : {"match", "percentile", "identity"}
        How an image is brought to that range: ``match`` maps images that lie outside of it, ``percentile`` every
        image, ``identity`` none.
    """

    upsampling: Literal["file", "nearest", "bilinear", "bilinear_tf1"] = "file"
    value_range: tuple[float, float] | None = None
    normalization: Literal["match", "percentile", "identity"] = "match"


@dataclass(frozen=True, kw_only=True)
class ONNXOptions:
    """What an ONNX file does not say.

    Parameters
    ----------
    value_range : tuple of float, optional
        The values that the network was trained on. Default: 0-1.
    normalization : {"match", "percentile", "identity"}
        How an image is brought to that range: ``match`` maps images that lie outside of it, ``percentile`` every
        image, ``identity`` none.
    """

    value_range: tuple[float, float] | None = None
    normalization: Literal["match", "percentile", "identity"] = "match"


@dataclass(frozen=True, kw_only=True)
class PyTorchOptions:
    """What a PyTorch checkpoint does not say.

    Parameters
    ----------
    entry : str, optional
        Which of several generators, for a training checkpoint that holds more than one: ``netG_A``.
    percentiles : tuple of float
        The percentiles of an image that are mapped to the ends of the network's range, -1 and 1.
    value_range : tuple of float, optional
        Fixed values to be mapped to -1 and 1 instead, for images that always have the values of the training:
        0 and 255 for 8-bit ones.
    """

    entry: str | None = None
    percentiles: tuple[float, float] = (0.1, 99.9)
    value_range: tuple[float, float] | None = None
