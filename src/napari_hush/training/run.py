"""One run of a training: its loop, and what is kept of it so that nothing is lost."""

from __future__ import annotations

import copy
import math
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_hush.errors import InputError, ModelFileError
from napari_hush.leftovers import sweep
from napari_hush.memory import kept_arena
from napari_hush.model import Model
from napari_hush.progress import Progress
from napari_hush.training.checkpoint import about, check_resumable, read_checkpoint, write_checkpoint
from napari_hush.training.data.prefetch import Batches
from napari_hush.training.keep import check_room
from napari_hush.training.methods.method import Batch, Method, plain, seeded
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.one_device import OneDevice, precision_of
from napari_hush.training.result import make_card, write_preview
from napari_hush.training.start import make_fabric, prepare
from napari_hush.training.streams import Purpose, stream_seed
from napari_hush.training.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import numpy as np

    from napari_hush.training.data.patches import PatchSource
    from napari_hush.training.settings import TrainSettings
    from napari_hush.training.start import InitialNetwork

SECONDS = 120.0  # at most between two checkpoints


@dataclass
class Best:
    """The best weights so far."""

    score: float = -math.inf
    step: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


class TrainingRun:
    """What is trained, how far it is, and what is kept of it.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    data : Any
        See `open_data`.
    settings : TrainSettings
        Of the method's class.
    path : Path, optional
        Of the checkpoint.
    resume : Path, optional
        A checkpoint to go on from.
    initial : InitialNetwork, optional
        What to go on from in place of what the settings say; ``data`` is then a `PatchSource` made for it.

    Attributes
    ----------
    done : int
        Steps.
    stop_requested : callable
        Asked after each step whether to end as after Ctrl-C; one of several processes is enough.

    Raises
    ------
    InputError
        If these do not fit together.
    """

    def __init__(
        self,
        method: str,
        data: Any,
        settings: TrainSettings,
        path: Path | None,
        resume: Path | None,
        *,
        initial: InitialNetwork | None = None,
    ) -> None:
        self.name, self.path = method, path
        entry = METHODS[method]
        kind = entry.load()
        self.fabric = make_fabric(settings)
        self.is_first = self.fabric.global_rank == 0
        world = self.fabric.world_size
        if initial is None:
            initial, data, settings = prepare(kind, entry.needs, settings, data)
        self.initial, self.data = initial, cast("PatchSource", data)
        if settings.epochs:
            per_epoch = -(-len(self.data) // (settings.batch_size * world))
            settings = replace(settings, steps=settings.epochs * per_epoch)
        self.settings = settings
        with seeded(stream_seed(settings.seed, Purpose.OTHER_NETWORKS)):
            self.method: Method = kind(settings, self.initial.network)
        self.method.setup(self.fabric)
        live = plain(self.method.networks["denoiser"])
        self.average = copy.deepcopy(live).requires_grad_(False).eval()
        self.tensors = list(zip(self.average.state_dict().values(), live.state_dict().values(), strict=True))
        self.batches = Batches(
            self.data, self.method.patches, rank=self.fabric.global_rank, world=world, workers=settings.workers
        )
        self.about = about(method, settings, self.data.fingerprint, self.fabric)
        self.done, self.seconds, self.stopped = 0, 0.0, ""
        self.best, self.validations_without_improvement = Best(), 0
        self.history: list[dict[str, Any]] = []
        self.trouble = ""  # with the last file
        self.good: dict[str, Any] | None = None  # the last state that was seen to be finite
        self.sums: dict[str, float] = {}
        self.summed = 0
        self.stop_requested: Callable[[], bool] = lambda: False
        if path is not None and self.is_first:
            sweep(path.parent, path.name)  # what a killed run left of an unfinished checkpoint
            check_room(path, self.expected_bytes())
        if resume is not None:
            state = read_checkpoint(resume)
            check_resumable(resume, state, self.about)
            try:
                self.load(state)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
                raise ModelFileError(f"{resume}: a damaged checkpoint ({error}); start anew without it") from error
            self.good = self.snapshot()
        self.validation = self.data.held_out("validation") if self.is_first else []

    def expected_bytes(self) -> int:
        """About as much as a checkpoint and the model take: weights, two moments of each, the average and the best."""
        weights = [tensor for network in self.method.networks.values() for tensor in network.state_dict().values()]
        everything, one = _bytes(weights), _bytes(list(self.average.state_dict().values()))
        return 3 * everything + 3 * one

    def steps(self) -> Generator[Progress, None, Model]:
        """Train to the end."""
        s = self.settings
        self.began, self.saved = time.monotonic() - self.seconds, time.monotonic()
        between_steps = True  # where the state is one that a run without interruption has, too
        with ExitStack() as stack:
            if self.fabric.device.type == "cpu":
                stack.enter_context(kept_arena())
            stream = stack.enter_context(self.batches.open(self.done, s.steps))
            try:
                for batch in stream:
                    between_steps = False
                    losses, stop = self.step(batch)
                    if bad := [name for name, value in losses.items() if not math.isfinite(value)]:
                        self.go_back(", ".join(bad))
                        between_steps = True
                        break
                    self.done += 1
                    between_steps = True
                    preview = None
                    validated = self.done % s.validate_every == 0 or self.done == s.steps
                    if validated:
                        metrics, preview = self.validate()
                        losses |= metrics
                        if self.stopped:
                            break
                    if self.done < s.steps:
                        self.save_sometimes(validated=validated)
                    yield Progress(self.done, s.steps, self.message(), losses, preview)
                    if stop:
                        raise KeyboardInterrupt
                    if s.patience and self.validations_without_improvement >= s.patience:
                        self.stopped = f"no improvement in {self.validations_without_improvement} validations"
                        break
            except BaseException:
                if between_steps:
                    self.save()
                raise
        self.save()
        if self.trouble and self.is_first:
            warnings.warn(self.trouble, UserWarning, stacklevel=4)
        if self.stopped and self.is_first:
            warnings.warn(f"training stopped at step {self.done}: {self.stopped}", UserWarning, stacklevel=4)
        return self.model()

    def step(self, batch: Batch) -> tuple[dict[str, float], bool]:
        """One update of the networks and of the moving average; returns losses, and whether a process wants to end."""
        device = self.fabric.device
        batch = Batch(batch.noisy.to(device), None if batch.clean is None else batch.clean.to(device), batch.first)
        with seeded(stream_seed(self.settings.seed, Purpose.DROPOUT, self.done)):
            losses = self.method.step(batch, self.done)
        updates = self.method.denoiser_steps(self.done)
        decay = min(self.settings.ema, (1 + updates) / (10 + updates))
        with torch.no_grad():
            for mean, value in self.tensors:
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)
        values = torch.stack([value.detach().double() for value in losses.values()]).cpu()
        stop = self.stop_requested()
        if not isinstance(self.fabric, OneDevice):
            shared = torch.cat([values, torch.tensor([float(stop)])]).to(device)
            shared = cast("torch.Tensor", self.fabric.all_reduce(shared, reduce_op="mean")).cpu()
            values, stop = shared[:-1], bool(shared[-1] > 0)
        named = dict(zip(losses, values.tolist(), strict=True))
        for name, number in named.items():
            self.sums[name] = self.sums.get(name, 0.0) + number
        self.summed += 1
        return named, stop

    def go_back(self, what: str) -> None:
        """To the last good state, when a loss or a weight is not finite."""
        advice = "lower learning_rate, or set clip, and start anew"
        at = self.done + 1
        if self.good is None:
            raise InputError(f"not finite at step {at}: {what}; {advice}; check the data")
        self.load(copy.deepcopy(self.good))
        self.stopped = f"not finite at step {at}: {what}; the state of step {self.done} is kept; {advice}"

    def validate(self) -> tuple[dict[str, float], np.ndarray | None]:
        """Look at the held-out patches, and remember the best weights."""
        if not all(bool(torch.isfinite(mean).all()) for mean, _ in self.tensors):
            self.go_back("the weights")
            return {}, None
        metrics: dict[str, float] = {}
        picture = None
        if self.is_first:
            metrics, picture = validate(self.method, self.average, self.validation)
            means = {name: value / max(self.summed, 1) for name, value in self.sums.items()}
            self.history.append({"step": self.done, "seconds": round(self.elapsed, 1), **means, **metrics})
        self.sums, self.summed = {}, 0
        if self.is_first and self.method.denoiser_steps(self.done):
            self.choose(metrics)
        if not isinstance(self.fabric, OneDevice):
            self.validations_without_improvement = self.fabric.broadcast(self.validations_without_improvement)
        self.good = self.snapshot()
        if picture is not None and self.path is not None and self.is_first:
            every = self.settings.picture_every
            if every and (len(self.history) - 1) % every == 0:
                self.trouble = write_preview(self.path, picture, self.history[-1])
        return metrics, picture

    def choose(self, metrics: dict[str, float]) -> None:
        """Keep the weights if they are the best; those of the end, where nothing tells which are better."""
        score = metrics.get("psnr", math.nan)
        if math.isnan(score) and self.method.validation_loss_decides:
            score = -metrics.get("validation_loss", math.nan)
        if math.isnan(score) or score > self.best.score:
            weights = {name: value.detach().cpu().clone() for name, value in self.average.state_dict().items()}
            self.best = Best(-math.inf if math.isnan(score) else score, self.done, weights)
            self.validations_without_improvement = 0
        else:
            self.validations_without_improvement += 1

    @property
    def elapsed(self) -> float:
        """Seconds of training, of all runs together."""
        return time.monotonic() - self.began

    def message(self) -> str:
        """One line for a person."""
        rate = self.done / max(self.elapsed, 1e-9)
        words = f"{rate:.2g} steps/s, {_duration((self.settings.steps - self.done) / max(rate, 1e-9))} left"
        if self.history and "psnr" in self.history[-1]:
            words += f"; validation {self.history[-1]['psnr']:.1f} dB (noisy {self.history[-1]['noisy_psnr']:.1f})"
        return f"{words}; {self.trouble}" if self.trouble else words

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **self.about,
            "step": self.done,
            "seconds": self.elapsed if hasattr(self, "began") else self.seconds,
            "state": self.method.state(),
            "precision": precision_of(self.fabric).state_dict(),
            "average": self.average.state_dict(),
            "best": vars(self.best).copy(),
            "history": list(self.history),
            "validations_without_improvement": self.validations_without_improvement,
            "sums": dict(self.sums),
            "summed": self.summed,
        }

    def snapshot(self) -> dict[str, Any]:
        """The state, in memory of its own."""
        state = self.state()
        return state | {name: copy.deepcopy(state[name]) for name in ("state", "precision", "average")}

    def load(self, state: dict[str, Any]) -> None:
        """Go to the state of a checkpoint."""
        self.method.load_state(state["state"])
        precision_of(self.fabric).load_state_dict(state["precision"])
        self.average.load_state_dict(state["average"])
        self.done, self.seconds = int(state["step"]), float(state["seconds"])
        self.best, self.history = Best(**state["best"]), list(state["history"])
        self.validations_without_improvement = int(state["validations_without_improvement"])
        self.sums, self.summed = dict(state["sums"]), int(state["summed"])

    def save_sometimes(self, *, validated: bool) -> None:
        """Write a checkpoint after a validation, and otherwise every two minutes."""
        if validated or time.monotonic() - self.saved > SECONDS:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, if one is wanted; a full disk ends nothing, and leaves the older one as it was."""
        if self.path is None or not self.is_first:
            return
        try:
            write_checkpoint(self.path, self.state())
            self.trouble = ""
        except OSError as error:
            self.trouble = f"{self.path}: the checkpoint cannot be written ({error.strerror}): make room"
        self.saved = time.monotonic()

    def model(self) -> Model:
        """The best weights as a model, measured on the test patches."""
        network, best = copy.deepcopy(self.average), self.best
        if not isinstance(self.fabric, OneDevice):
            best = self.fabric.broadcast(best)
        if best.weights:
            network.load_state_dict(best.weights)
        test, _ = validate(self.method, network, self.data.held_out("test"))
        state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        validation = next((h for h in self.history if h["step"] == (best.step or self.done)), {})
        card = make_card(
            self.path.stem if self.path is not None else self.name,
            self.about,
            self.data,
            parent=self.initial.parent,
            steps=self.done,
            weights_of_step=best.step or self.done,
            seconds=self.elapsed,
            stopped=self.stopped,
            metrics={"test": test, "validation": validation},
        )
        initial = self.initial
        model = Model.from_state(initial.architecture, initial.hyperparameters, state, initial.rule, card)
        model = replace(model, companions=initial.companions)
        return replace(model, scale=self.data.scale)


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
