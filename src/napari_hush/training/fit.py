"""Train a model in one call, or step by step: a generator of `Progress` that can be left at any step."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.progress import drain
from napari_hush.training.checkpoint import is_checkpoint
from napari_hush.training.methods.registry import find_method
from napari_hush.training.run import TrainingRun
from napari_hush.training.settings import TrainSettings
from napari_hush.training.settings_file import train_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from napari_hush.model import Model
    from napari_hush.progress import Progress


def train(
    method: str,
    data: Any,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    *,
    checkpoint: str | Path | None = None,
    resume: str | Path | bool | None = None,
    progress: Callable[[Progress], object] | bool | None = None,
) -> Model:
    """Train a model.

    Ctrl-C ends it after the current step and writes the checkpoint; a second one ends it at once.

    Parameters
    ----------
    method : str
        A key of `METHODS`, for example "supervised" or "noise2void".
    data : array_like, path, tuple of two of these, SynthesisSettings, or TrainingData
        Noisy images; or noisy and clean ones, paired or not, as the method wants; or clean ones and a noise; or a
        folder or HDF5 that `synthesize` or TomoGAN's users made; or what to simulate. See `open_data`.
    settings : TrainSettings or mapping, optional
        Of the method's class; a mapping has its names.
    checkpoint : str or Path, optional
        Where to write checkpoints; without it a run that ends early is lost.
    resume : str, Path or bool, optional
        A checkpoint to go on from; True takes ``checkpoint``, if it is there.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.

    Returns
    -------
    Model
        With the weights that were best in the validation, its card filled in.

    Raises
    ------
    InputError
        If method, settings, data or checkpoint do not fit together: the message says what to do.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.random.default_rng(0).random((6, 64, 64), dtype=np.float32)
    >>> noisy = clean + np.random.default_rng(1).normal(0, 0.2, clean.shape).astype(np.float32)
    >>> train("supervised", (noisy, clean), {"steps": 2, "patch": 32, "network_options": "width = 4"}).architecture
    'unet'
    """
    with ExitStack() as stack:
        run = _begin(method, data, settings, checkpoint, resume)
        run.stop_requested = stack.enter_context(_Interrupt()).asked
        report = progress if callable(progress) else None
        if progress is True and run.is_first:
            from tqdm.auto import tqdm

            bar = stack.enter_context(tqdm(desc=method, unit="step", leave=False, initial=run.done))

            def report(event: Progress) -> None:
                bar.total = event.total
                bar.set_postfix({name: f"{value:.4g}" for name, value in list(event.losses.items())[:4]}, refresh=False)
                bar.update(event.step - bar.n)

        return drain(run.steps(), report)


def fit(
    method: str,
    data: Any,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    *,
    checkpoint: str | Path | None = None,
    resume: str | Path | bool | None = None,
) -> Generator[Progress, None, Model]:
    """Train a model step by step, see `train`; leaving the loop stops and writes the checkpoint.

    Parameters
    ----------
    method, data, settings, checkpoint, resume
        As of `train`.

    Yields
    ------
    Progress
        After each step: its losses, and after a validation the metrics and a preview.

    Returns
    -------
    Model
        As the value of the generator.
    """
    return (yield from _begin(method, data, settings, checkpoint, resume).steps())


def _begin(
    method: str,
    data: Any,
    settings: TrainSettings | Mapping[str, Any] | None,
    checkpoint: str | Path | None,
    resume: str | Path | bool | None,
) -> TrainingRun:
    """Check what was asked for, and open it."""
    if not isinstance(settings, TrainSettings):
        settings = train_settings(method, settings)
    expected = find_method(method).settings
    if type(settings) is not expected:
        raise InputError(f"{method} takes {expected.__name__}, got {type(settings).__name__}")
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    if path is not None and path.is_dir():
        raise InputError(f"{path}: is a folder; name a file for the checkpoint")
    if path is not None and path.exists() and resume is not True and not is_checkpoint(path):
        raise InputError(f"{path}: there is a file of that name, and no checkpoint; choose another name")
    if resume is True and path is None:
        raise InputError("resume=True goes on from the checkpoint: give its file as checkpoint")
    source = (path if path is not None and path.exists() else None) if resume is True else resume
    return TrainingRun(method, data, settings, path, Path(source) if source else None)


class _Interrupt:
    """Catches the first Ctrl-C, so that a step is finished; a second one ends everything."""

    def __enter__(self) -> _Interrupt:
        self._at = 0.0
        self._old: Any = None
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def asked(self) -> bool:
        """Whether there was one."""
        return bool(self._at)

    def _note(self, *_: object) -> None:
        if self._at and time.monotonic() - self._at > 1.0:  # torchrun passes on what the terminal sent already
            raise KeyboardInterrupt
        self._at = self._at or time.monotonic()
