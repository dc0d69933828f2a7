"""What commands do for --cluster and --shard: images opened on workers, files done by them."""

from __future__ import annotations

import os
import shlex
import warnings
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_hush.cli.console import complain, one_line
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import ExitStack

    from distributed import Client

    from napari_hush.batch.jobs import Job
    from napari_hush.cli.denoise import Denoise
    from napari_hush.cli.evaluate import Evaluate
    from napari_hush.cluster.shards import Shard, Waiting
    from napari_hush.fidelity.settings import EvaluationSettings
    from napari_hush.fidelity.stacks import Evaluation
    from napari_hush.inference.ledger import Restart
    from napari_hush.inference.settings import DenoiseSettings
    from napari_hush.io import ImageData
    from napari_hush.io.fingerprint import Watched


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How an input is read.

    Parameters
    ----------
    volume, series, fill_missing : bool
        As the options.
    frames_first : bool
        Whether an axis of time comes before all others.
    """

    volume: bool = False
    series: bool = False
    fill_missing: bool = False
    frames_first: bool = True

    def __call__(self, source: str | Path) -> ImageData:
        """An image with its frames, if it has any, along the first axis."""
        from napari_hush.io import read_image, read_volume
        from napari_hush.io.inputs import holds_files

        if self.volume:
            return read_volume(source)
        if not self.series:
            image = read_image(source, fill_missing=self.fill_missing)
            return image.time_first() if self.frames_first else image
        if holds_files(source):
            return read_volume(source).with_axes("TYX")
        image = read_image(source, fill_missing=self.fill_missing)
        if image.axes[0] in "YX":
            raise InputError(
                f"{source}: has axes {image.axes} and shape {image.shape}, expected frames along the first axis; give "
                "a folder or a pattern in quotes of single images, or leave --series out"
            )
        return image.with_axes("T" + image.axes[1:].replace("T", "Q"))


def array_of(reading: Reading, source: str | Path) -> Any:
    """The array of an input, on whatever machine."""
    return reading(source).data


def everywhere(source: str | Path) -> str:
    """A name that does not depend on the folder in which a process runs."""
    return os.path.abspath(source)


def model_everywhere(model: str) -> str:
    """The same of a model, which may be a bundled one."""
    return everywhere(model) if Path(model).is_file() else model


def client_of(place: str, stack: ExitStack, *, gpus: bool = False) -> Client:
    """Connect to a cluster until the end of a stack, with a word where nobody works yet."""
    from napari_hush.cluster.connect import connected
    from napari_hush.cluster.tasks import workers

    client = stack.enter_context(connected(place, gpus=gpus))
    if not workers(client):
        complain("waiting", f"{place}: no worker runs yet, the work begins with the first one")
    return client


def spread_of(client: Client, command: Denoise, job: Job, watched: Watched) -> dict[str, Any]:
    """The option of `denoise_steps` that hands a job to the workers."""
    from napari_hush.cluster.denoise import ClusterSpread

    source = everywhere(job.source)
    opener = partial(array_of, command.reading, source)
    return {"spread": ClusterSpread(client, source, watched.before, opener, model_everywhere(command.model))}


def shard_steps(
    image: Any,
    *,
    shard: Shard,
    model: Any,
    settings: DenoiseSettings,
    loaded: Any,
    channel_axis: int | None,
    watched: Watched,
    out: Callable[..., Any],
    restart: Restart,
) -> Generator[Any, None, Any]:
    """As `denoise_steps`, for one shard."""
    from napari_hush.cluster.shards import ShardRun

    return ShardRun(shard, image, model, settings, channel_axis, out, restart, watched, loaded).steps()


def print_waiting(command: Denoise, job: Job, waiting: Waiting) -> None:
    """Say which shards are missing, and how one of them is run."""
    from napari_hush.batch.jobs import COMPUTING
    from napari_hush.inference.repeat import command as repeated

    count, target = len(waiting.missing), str(job.target)
    names = ", ".join(map(str, waiting.missing[:10])) + (", ..." if count > 10 else "")
    print(f"{target}: shard {command.shard} is done ({waiting.done} tiles); not done yet: {names}")
    settings = job.request["settings"] | {name: getattr(command.settings, name) for name in COMPUTING}
    history = {"made": "denoised", "request": job.request | {"settings": settings}}
    history["model_path"] = model_everywhere(command.model)
    again = f"{repeated(history)} -o {shlex.quote(target)} --shard {waiting.missing[0]}"
    print(f"  whichever ends last finishes the output; one that has failed is run again by: {again}")


def files_on(client: Client, command: Denoise, settings: DenoiseSettings, jobs: Sequence[Job]) -> list[Job]:
    """Let the workers denoise whole files; those that failed, each with a word about it."""
    from napari_hush.cluster.tasks import Call, results, wait_for_workers
    from napari_hush.progress import Progress, drain_with_bar

    bare = replace(command, settings=settings, model=model_everywhere(command.model))
    calls = [Call(file_on_worker, (bare, _placed(job)), job) for job in jobs]
    failed, told = [], []

    def steps() -> Generator[Progress, None, None]:
        for seconds in wait_for_workers(client):
            yield Progress(0, len(jobs), f"waiting for workers, {seconds:.0f} s")
        done = 0
        for ended in results(client, calls):
            if ended is not None:
                call, (text, errors, good) = ended
                done += 1
                told.append(text)
                for line in errors:
                    complain(*line)
                if not good:
                    failed.append(call.about)
            yield Progress(done, len(jobs))

    drain_with_bar(steps(), True, label="denoising", unit="file")
    print("".join(told), end="")
    return failed


def evaluation_shared(
    command: Evaluate,
    images: dict[str, ImageData],
    named: dict[str, Path],
    settings: EvaluationSettings,
    stack: ExitStack,
) -> Evaluation | None:
    """An evaluation with other processes; None where other shards have not ended."""
    from importlib.metadata import version

    from napari_hush.cli.evaluate import drain_in_a_line
    from napari_hush.cluster.connect import check_place
    from napari_hush.cluster.evaluate import Compared, EvaluationShard, evaluate_on
    from napari_hush.cluster.shards import Shard, Waiting
    from napari_hush.inference.planes import Planes
    from napari_hush.io.fingerprint import fingerprint

    noisy = images["noisy"]
    size = noisy.pixel_size_in("nm")
    sources = {role: everywhere(path) for role, path in named.items()}
    opened = partial(arrays_of, sources, command.fill_missing)
    compared = Compared(
        open=opened,
        settings=settings,
        channel_axis=noisy.channel_axis,
        pixel_size=None if size is None else max(size),
    )
    indices = list(Planes(noisy.data, noisy.channel_axis).indices())
    if command.cluster is not None:
        check_place(command.cluster)
        client = client_of(command.cluster, stack)
        return cast("Evaluation", drain_in_a_line(evaluate_on(client, compared, indices)))
    shard = Shard.of(str(command.shard))
    target = command.csv or command.report
    assert target is not None
    facts = {
        "version": version("napari-hush"),
        "settings": asdict(settings),
        "inputs": {role: fingerprint(source) for role, source in sources.items()},
    }
    run = EvaluationShard(shard, compared, indices, target.with_name(f".{target.name}.part"), facts)
    found = drain_in_a_line(run.steps())
    if isinstance(found, Waiting):
        late = ", ".join(map(str, found.missing))
        print(f"shard {shard} is done ({found.done} planes); not done yet: {late}")
        print(f"  one that has failed is run again by the same command with --shard {found.missing[0]}")
        return None
    stack.push(lambda kind, *_: run.close(written=kind is None))
    return cast("Evaluation", found)


def arrays_of(sources: dict[str, str], fill_missing: bool) -> dict[str, Any]:
    """The arrays of an evaluation, on whatever machine."""
    from napari_hush.io import read_image

    return {role: read_image(source, fill_missing=fill_missing).data for role, source in sources.items()}


def file_on_worker(command: Denoise, job: Job) -> tuple[str, list[tuple[str, str]], bool]:
    """Denoise one file on a worker: what it prints, what it complains of, and whether it went well."""
    from napari_hush.cluster.worker import alone, loaded_models
    from napari_hush.inference.denoise import denoise_steps, run_steps
    from napari_hush.inference.settings import AUTO
    from napari_hush.io.fingerprint import Watched

    settings: Any = command.settings
    lines: list[str] = []
    errors: list[tuple[str, str]] = []
    with alone(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        loaded = loaded_models(settings)
        try:
            model = AUTO if command.model == AUTO else loaded.model(command.model)
            denoise = partial(denoise_steps, first=command.first, model=model, settings=settings, loaded=loaded)
            watched = Watched.of(job.source)
            command.denoise_file(job, watched, "", denoise, lambda steps, _label: run_steps(steps), lines.append)
        except (InputError, OSError, MemoryError) as error:
            errors.append(("error", one_line(error)))
    good = not errors
    errors += [("warning", one_line(str(one.message))) for one in said if issubclass(one.category, UserWarning)]
    return "".join(f"{line}\n" for line in lines), errors, good


def _placed(job: Job) -> Job:
    panel = None if job.panel is None else Path(everywhere(job.panel))
    return replace(job, source=everywhere(job.source), target=Path(everywhere(job.target)), panel=panel)
