"""A plain function for napari's own function widgets: an image in, the denoised one out.

Its annotations are no text: magicgui does not find what a text names where it is not imported under its full name.
"""

from typing import Annotated

from napari.types import ImageData

from napari_hush.card import ZOO
from napari_hush.inference.settings import AUTO

MODELS = [AUTO, *sorted(path.stem for path in ZOO.glob("*.safetensors"))]


def denoise_image(image: ImageData, model: Annotated[str, {"choices": MODELS}] = AUTO) -> ImageData:
    """Denoise the data of an image layer, with the settings as they are without being given.

    ``viewer.window.add_function_widget(denoise_image)`` makes a dock of it, whose result lies over its image; or it is
    a step of a function of your own. The viewer waits for the end, as for every such function: the dock *Denoise* does
    not make it wait.

    Parameters
    ----------
    image : ImageData, shape (..., Y, X)
        Grey; leading axes count planes.
    model : str
        ``"auto"``, the name of a bundled model, or in Python a file.

    Returns
    -------
    ImageData, float32
        Of the same shape, in the same units.
    """
    from napari_hush.inference.denoise import denoise

    result: ImageData = denoise(image, model)
    return result
