"""Adapt a model to noisy images: minutes of fine-tuning, kept only where held-out parts and the evidence agree."""

from __future__ import annotations

import copy
import math
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.settings import AUTO, DenoiseSettings
from napari_hush.model import Model
from napari_hush.progress import Progress, drain_with_bar, within
from napari_hush.training.adapt.fields import Lessons, room_of
from napari_hush.training.adapt.held import HeldOut
from napari_hush.training.adapt.settings import AdaptSettings
from napari_hush.training.adapt.subjects import names_of, refuse_networks, subject_steps
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.run import TrainingRun
from napari_hush.training.settings import Noise2NoiseSettings
from napari_hush.training.start import continued, fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    import torch

    from napari_hush.training.adapt.fields import Field
    from napari_hush.training.adapt.held import Gain, Gains
    from napari_hush.training.adapt.subjects import Look, Subject
    from napari_hush.training.settings import TrainSettings

METHOD = "noise2noise"
ENDLESS = 10**6  # steps: the time ends it
LEAST_PATCH = 32  # px: a smaller one teaches little
LOOKS = 3  # images that are judged, and weights that are judged on them, at most
LIMIT = "Adapted to images of this sample and this instrument: for others take the model that it was made from."


@dataclass(frozen=True)
class Adapted:
    """What adapting gives.

    Parameters
    ----------
    model : Model
        The adapted model; where nothing clearly better was found, the one that was given.
    record : dict
        Whether it was kept and why, steps, held-out figures, the evidence before and after: JSON-able.
    """

    model: Model
    record: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Whether the model is another one than before."""
        return bool(self.record["kept"])

    @property
    def words(self) -> str:
        """What came out, in one line."""
        return str(self.record["words"])


@dataclass(frozen=True, eq=False)
class _Weights:
    """Weights that are clearly better on the held-out parts."""

    gains: Gains
    step: int
    state: dict[str, torch.Tensor]


def adapt(
    image: Any,
    model: str | Path | Model = AUTO,
    settings: AdaptSettings | None = None,
    *,
    name: str = "",
    names: Sequence[str] = (),
    progress: Callable[[Progress], object] | bool | None = None,
) -> Adapted:
    """Fine-tune a model on noisy images, without clean ones, for a few minutes.

    Parameters
    ----------
    image : array_like, shape (..., Y, X), or list of arrays
        Grey images as measured: of one sample, from one instrument. Leading axes count planes.
    model : str, path or Model
        As of `denoise`; ``"auto"`` takes the bundled one that fits the first image.
    settings : AdaptSettings, optional
        How long, and how.
    name : str
        Of the new model; by default the old one's with ``-adapted``.
    names : sequence of str
        What to call the images in its card and in messages.
    progress : callable or bool, optional
        Called with each `Progress`; True shows a bar.

    Returns
    -------
    Adapted
        The model and a record. The model is the given one, unchanged, unless the new one's loss on a held-out part of
        the images is lower by more than twice its standard error, with noise found in each of three ways (see
        `OwnNoise`), and the evidence on no image is worse than before.

    Raises
    ------
    InputError
        If the noise is not understood and there are no repeats, or the network cannot be adapted.
    ModelFileError
        If the model cannot be loaded.

    See Also
    --------
    adapt_steps : The same step by step.

    Notes
    -----
    The image's own noise, as `measure_noise` finds it, is drawn anew and added to the image, and its opposite, larger
    by as much as the former was smaller, to a second copy; the network learns to predict the second from the first.
    Their noise is independent, so that it cannot be predicted and the mean of what is possible, the image, is
    learned. With repeats one frame is predicted from another.

    References
    ----------
    T. Pang, H. Zheng, Y. Quan, H. Ji, "Recorrupted-to-Recorrupted: unsupervised deep learning for image denoising",
    CVPR 2021, https://doi.org/10.1109/CVPR46437.2021.00208

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy[:224, :224]
    >>> done = hush.adapt(noisy, "stem", hush.AdaptSettings(steps=1, checks=1, patch=64, batch_size=1))
    >>> done.record["steps"]
    1
    """
    steps = adapt_steps(image, model, settings, name=name, names=names)
    return drain_with_bar(steps, progress, label="adapting", unit="step", words=True)


def adapt_steps(
    image: Any,
    model: str | Path | Model = AUTO,
    settings: AdaptSettings | None = None,
    *,
    name: str = "",
    names: Sequence[str] = (),
) -> Generator[Progress, None, Adapted]:
    """`adapt` step by step: yields a `Progress` per update of the network and returns an `Adapted`.

    Leaving the loop (closing the generator) cancels.

    Parameters
    ----------
    image, model, settings, name, names
        As of `adapt`.
    """
    s = settings or AdaptSettings()
    began = time.monotonic()
    images = list(image) if isinstance(image, list | tuple) and all(hasattr(one, "shape") for one in image) else [image]
    if not images:
        raise InputError("expected at least one image to adapt to, got none")
    how = DenoiseSettings(device=s.device, dark=s.dark)
    subjects: list[Subject] = []
    with LoadedModels(how) as loaded:
        if model != AUTO:
            model = loaded.model(model)
            refuse_networks(model)
        for one, called in zip(images, names_of(images, names), strict=True):
            subjects.append((yield from subject_steps(called, one, model, how, loaded, repeats=s.repeats)))
            model = subjects[0].plan.model
    assert isinstance(model, Model)
    fields = [field for subject in subjects for field in subject.fields(repeats=s.repeats is not None)]
    looking = time.monotonic()
    before = []
    for subject in subjects[:LOOKS]:
        yield Progress(0, 1, f"judging {subject.name}")
        before.append((yield from subject.look_steps(None, how)))
    reserve = 2 * (time.monotonic() - looking)  # the adapted model has to denoise as well
    training = _Training(model, fields, subjects, s, until=began + 60 * s.minutes - reserve)
    found = yield from training.steps()
    better, after = None, before
    for weights in sorted(found, key=lambda one: one.gains.least.gain, reverse=True)[:LOOKS]:
        adapted = replace(model, network=training.network(weights.state), sha256="")
        after = []
        for subject in subjects[:LOOKS]:
            words = f"judging {subject.name} with the weights of step {weights.step}"
            looks = subject.look_steps(adapted, how)
            after.append((yield from within(looks, _saying(words, training.done))))
        if not any(new.worse_than(old) for new, old in zip(after, before, strict=True)):
            better = adapted, weights
            break
    last = training.last
    record: dict[str, Any] = {
        "kept": better is not None,
        "words": _words(training, better[1] if better else None, found, before, after),
        "model": model.card.name,
        "images": [subject.name for subject in subjects],
        "learned_from": "repeats" if s.repeats is not None else "the image with its own noise drawn anew",
        "steps": training.done,
        "weights_of_step": better[1].step if better else 0,
        "seconds": round(time.monotonic() - began, 1),
        "held_out": _figures(better[1].gains if better else last),
        "evidence_before": [asdict(one) for one in before],
        "evidence_after": [asdict(one) for one in (after if better else before)],
        "settings": asdict(s),
    }
    if better is None:
        return Adapted(model, record)
    parent = model.card
    card = parent.model_copy(
        update={
            "name": (name or f"{parent.name}-adapted")[:200],
            "description": f"{parent.name}, fine-tuned on {', '.join(record['images'])}.",
            "source": f"napari-hush adapt {parent.name}",
            "training": {
                "start": parent.name,
                **{k: v for k, v in record.items() if k not in ("kept", "words", "model")},
            },
            "metrics": {"held_out": record["held_out"]},
            "limits": [LIMIT, *parent.limits],
        }
    )
    return Adapted(replace(better[0], card=card), record)


class _Training:
    """The fine-tuning itself: a `TrainingRun` that ends by the clock, and looks at the held-out parts now and then."""

    def __init__(
        self, model: Model, fields: list[Field], subjects: list[Subject], settings: AdaptSettings, *, until: float
    ) -> None:
        self._settings, self._until = settings, until
        s = settings
        initial = continued(model)
        stride = int(initial.network.stride)  # type: ignore[arg-type]
        room = min(room_of(field, s) for field in fields)
        patch = max(min(s.patch, room // stride * stride), min(s.patch, LEAST_PATCH))
        usual: TrainSettings = Noise2NoiseSettings(
            patch=patch, batch_size=s.batch_size, steps=s.steps or ENDLESS, learning_rate=s.learning_rate,
            schedule="constant", warmup=10, ema=0.98, validate_every=10**8, augment="none", seed=s.seed,
            device=s.device, validation_share=0.0, test_share=0.0, picture_every=0,
        )  # fmt: skip
        usual = fitting(METHODS[METHOD].load(), usual, initial.network)
        fingerprint = " ".join(subject.fingerprint for subject in subjects)
        self._lessons = Lessons(fields, s, usual.patch, scale=model.scale, fingerprint=fingerprint)
        self._run = TrainingRun(METHOD, self._lessons, usual, None, None, initial=initial)
        self._run.good = self._run.snapshot()  # what to go back to where a loss is not finite
        self._held = HeldOut(self._lessons, model.stride, model.halo, self._run.average)
        self.done = 0
        self.last: Gains | None = None

    def steps(self) -> Generator[Progress, None, list[_Weights]]:
        """Train, and give the weights that were clearly better, in order."""
        found: list[_Weights] = []
        start = time.monotonic()
        checks = 0
        with closing(self._run.steps()) as steps:
            for event in steps:
                self.done = event.step
                share = self._share(start)
                if share >= 2.0 ** (checks + 1 - self._settings.checks):  # each twice as late as the one before
                    checks = max(checks + 1, self._settings.checks + math.floor(math.log2(min(share, 1.0))))
                    self.last = self._held.compare(self._run.average)
                    if self.last.clear:
                        state = {
                            name: value.detach().cpu().clone() for name, value in self._run.average.state_dict().items()
                        }
                        found.append(_Weights(self.last, self.done, state))
                yield Progress(self.done, max(round(self.done / share), self.done), self._message(start), event.losses)
                if share >= 1:
                    break
        return found

    def network(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """A network with some weights, on the processor."""
        network = copy.deepcopy(self._run.average).cpu()
        network.load_state_dict(state)
        return network

    def _share(self, start: float) -> float:
        """How much of the training is done, by the clock or by the steps."""
        now, s = time.monotonic(), self._settings
        clock = (now - start) / max(self._until - start, 1e-9)
        return min(max(clock, self.done / s.steps if s.steps else 0.0, 1e-9), 1.0)

    def _message(self, start: float) -> str:
        rate = self.done / max(time.monotonic() - start, 1e-9)
        words = f"{rate:.2g} steps/s"
        return words if self.last is None else f"{words}; held out: {_gain_words(self.last.least)}"


def _saying(words: str, step: int) -> Callable[[Progress], Progress]:
    """For events of a part of the work: the same words for all of them."""
    return lambda _: Progress(step, step, words)


def _figures(gains: Gains | None) -> dict[str, dict[str, float]]:
    """By how the noise was found; empty where nothing was compared."""
    names = ("loss", "before", "gain", "error")
    each = () if gains is None else gains.each
    return {gain.way: {name: float(f"{getattr(gain, name):.6g}") for name in names} for gain in each}


def _gain_words(gain: Gain) -> str:
    return f"squared error {-gain.gain:+.2g} ± {gain.error:.1g}"


def _words(
    training: _Training, better: _Weights | None, found: list[_Weights], before: list[Look], after: list[Look]
) -> str:
    """What came out, in one line for a person."""
    if better is not None:
        status = " and ".join(
            dict.fromkeys(f"{old.status} before, {new.status} now" for old, new in zip(before, after, strict=True))
        )
        return (
            f"adapted in {training.done} steps (weights of step {better.step}); on the part held out "
            f"{_gain_words(better.gains.least)} in network units; evidence: {status}"
        )
    if found:
        why = next(new for new, old in zip(after, before, strict=True) if new.worse_than(old))
        return f"unchanged: the evidence on the adapted result is worse than before ({why.status}: {why.words})"
    if training.last is None:
        return f"unchanged: the time ended after {training.done} steps, before there was anything to compare"
    return (
        f"unchanged: after {training.done} steps nothing was clearly better on the part held out "
        f"({_gain_words(training.last.least)} in network units)"
    )
