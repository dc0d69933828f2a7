"""The engines by name, and the choice of one; torch is not imported before an engine is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from napari_hush.declare import Registry
from napari_hush.errors import InputError
from napari_hush.inference.engines.devices import chosen_device
from napari_hush.inference.kept_network import whole_network

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from napari_hush.inference.engines.at_once import Handle

Precision = Literal["auto", "float32", "bfloat16"]


class Engine(Protocol):
    """Runs a network, or a piece of one, on batches of tiles.

    Attributes
    ----------
    name, device, precision : str
        For a person: what runs, where, and with which numbers.
    ahead : int
        Batches that may be submitted before the result of the one in front of them is asked for.
    """

    name: ClassVar[str]
    device: str
    precision: str
    ahead: int

    def __init__(self, network: nn.Module, device: str = "cpu", precision: str = "float32") -> None: ...

    @classmethod
    def refusal(cls, device: str, precision: str) -> str:
        """Why it does not run here: what is missing and what to do; empty where it does.

        Parameters
        ----------
        device : str
            Which is there, such as ``cpu`` or ``cuda:1``.
        precision : {"auto", "float32", "bfloat16"}
            As asked for.
        """
        ...

    @classmethod
    def suits(cls, network: nn.Module, precision: str, pixels: int | None) -> bool:
        """Whether ``auto`` should take it for so many pixels, where it runs; None counts as many."""
        ...

    @classmethod
    def best_precision(cls, device: str) -> str:
        """What ``auto`` means: the fastest arithmetic that is native here."""
        ...

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X), one array for each argument of the network, to float32 (B, C, Y, X).

        Raises
        ------
        MemoryError
            If the batch does not fit into memory; a smaller one may.
        """
        ...

    def submit(self, *inputs: np.ndarray) -> Handle:
        """Begin the same; `Handle.result` gives it, in the order of submission.

        Raises
        ------
        MemoryError
            As a call; what was submitted before is lost then.
        """
        ...

    @property
    def notes(self) -> dict[str, Any]:
        """What else the record of a run says of it: JSON-able."""
        ...

    def another(self, network: nn.Module) -> Engine:
        """An engine of the same kind, device and precision for another network."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


ENGINES: Registry[type[Engine]] = Registry(  # "auto" takes the first that suits
    {
        "openvino": "napari_hush.inference.engines.openvino_engine:OpenVINOEngine",
        "torch": "napari_hush.inference.engines.torch_engine:TorchEngine",
        "compiled": "napari_hush.inference.engines.compiled_engine:CompiledEngine",
        "onnx": "napari_hush.inference.engines.onnx_engine:ONNXEngine",
    }
)


def choose_engine(
    network: nn.Module,
    *,
    device: str = "auto",
    engine: str = "auto",
    precision: Precision = "auto",
    pixels: int | None = None,
) -> Engine:
    """The fastest engine for a network on this machine.

    Parameters
    ----------
    network : torch.nn.Module
        In eval mode.
    device : str
        ``auto`` takes CUDA, then Apple's MPS, then the CPU; ``cuda`` the first GPU, ``cuda:1`` the second one.
    engine : str
        A name in `ENGINES`; ``auto`` takes the first that suits: OpenVINO on a CPU where it is installed and the work
        is not small, torch elsewhere.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` takes bfloat16 with OpenVINO on processors that compute it natively and on such GPUs, float32
        elsewhere.
    pixels : int, optional
        How much there is to do; not given, it counts as much.

    Raises
    ------
    InputError
        If what was asked for is not on this machine.
    """
    own = getattr(network, "engine", None)  # of a black box, which one engine alone can run
    if own is not None:
        if engine not in ("auto", own):
            raise InputError(f"this network is imported as it is, and engine {own!r} alone runs it: use engine='auto'")
        engine = own
    where = chosen_device("cpu" if own and device == "auto" else device)
    if precision not in ("auto", "float32", "bfloat16"):
        raise InputError(f"unknown precision {precision!r}: expected auto, float32 or bfloat16")
    if engine == "auto":
        kinds = (kind for kind in ENGINES.values() if not kind.refusal(where, precision))
        chosen = next((kind for kind in kinds if kind.suits(network, precision, pixels)), None) or ENGINES["torch"]
    elif engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}: expected auto, {' or '.join(ENGINES)}")
    else:
        chosen = ENGINES[engine]
    if reason := chosen.refusal(where, precision):
        raise InputError(reason)
    if chosen is not ENGINES["openvino"]:  # it alone computes with what was kept of a network
        network = whole_network(network)
    return chosen(network, where, chosen.best_precision(where) if precision == "auto" else precision)
