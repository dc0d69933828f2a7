"""Pixels of a DICOM file: pydicom unpacks them; what it has no decoder for, imagecodecs does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# by the end of the transfer syntax 1.2.840.10008.1.2.4.
_DECODERS = {
    "50": "jpeg8_decode",
    "51": "jpeg_decode",
    "57": "jpeg_decode",
    "70": "jpeg_decode",
    "80": "jpegls_decode",
    "81": "jpegls_decode",
    "90": "jpeg2k_decode",
    "91": "jpeg2k_decode",
    "201": "htj2k_decode",
    "202": "htj2k_decode",
    "203": "htj2k_decode",
}
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)  # marks of a size
_FRONT = "1.2.840.10008.1.2.4."


def unpack_frames(library: Any, found: Any, source: str) -> NDArray[Any]:
    """Stored values, (Y, X), (N, Y, X), and with (..., 3) for colours, which become RGB.

    Raises
    ------
    FileFormatError
        If they are packed in a way that nobody here unpacks.
    """
    import imagecodecs

    syntax = str(getattr(found.file_meta, "TransferSyntaxUID", "")) if hasattr(found, "file_meta") else ""
    if not syntax:
        found.file_meta.TransferSyntaxUID = library.uid.ImplicitVRLittleEndian
    decoder = getattr(imagecodecs, _DECODERS.get(syntax.removeprefix(_FRONT), ""), None)
    try:
        values = library.pixels.pixel_array(found)
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        if decoder is None:
            reason = " ".join(str(error).split())
            raise FileFormatError(
                f"{source}: its pixels cannot be unpacked ({reason:.200}); save it unpacked"
            ) from error
        values = _unpack(library, found, decoder)
    if found.PhotometricInterpretation == "PALETTE COLOR":
        return np.asarray(library.pixels.apply_color_lut(values, found))
    return np.asarray(values)


def _unpack(library: Any, found: Any, decoder: Any) -> NDArray[Any]:
    frames = int(found.get("NumberOfFrames") or 1)
    shape = (int(found.Rows), int(found.Columns))
    parts = []
    for packed in library.encaps.generate_frames(found.PixelData, number_of_frames=frames):
        _check_size(packed, shape)
        values = np.asarray(decoder(packed))
        if values.shape[:2] != shape and values.shape[1:] == shape:  # colours first
            values = np.moveaxis(values, 0, -1)
        if values.shape[:2] != shape:
            raise ValueError(f"a frame of {values.shape}, expected {shape}")
        parts.append(values)
    stacked = np.stack(parts) if frames > 1 else parts[0]
    if int(found.PixelRepresentation or 0) and stacked.dtype.kind == "u":
        free = 8 * stacked.dtype.itemsize - int(found.BitsStored)
        signed = (stacked << free).view(stacked.dtype.str.replace("u", "i"))
        return np.asarray(signed >> free)
    return stacked


def _check_size(packed: bytes, shape: tuple[int, int]) -> None:
    """Refuse a frame whose own header claims another size, before memory is asked for."""
    at = packed.find(b"\xff\x51", 0, 4096)
    if packed.startswith(b"\xff\xd8"):
        at = 2
        while packed[at : at + 1] == b"\xff" and packed[at + 1] not in _FRAMES:
            at += 2 + int.from_bytes(packed[at + 2 : at + 4], "big")
        found = packed[at + 5 : at + 7], packed[at + 7 : at + 9]
    else:
        found = packed[at + 10 : at + 14], packed[at + 6 : at + 10]
    size = tuple(int.from_bytes(one, "big") for one in found)
    if at < 0 or size != shape:
        raise ValueError(f"a frame of {size} px, expected {shape}")
