"""Noise2Noise: from repeated noisy images of the same fields, without a clean one.

J. Lehtinen et al., "Noise2Noise: learning image restoration without clean data", ICML 2018,
https://doi.org/10.48550/arXiv.1803.04189

With ``inputs="mean"`` it is Noise2Inverse: A. A. Hendriksen, D. M. Pelt, K. J. Batenburg, "Noise2Inverse:
self-supervised deep convolutional denoising for tomography", IEEE Trans. Comput. Imaging 6, 1320 (2020),
https://doi.org/10.1109/TCI.2020.3019647
"""

from __future__ import annotations

from napari_hush.training.methods.supervised import Supervised


class Noise2Noise(Supervised):
    """The target is another noisy image of the field: noise cannot be predicted, so its mean, the image, is learned."""
