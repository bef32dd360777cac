"""How long an image takes to be there: loaded from an archive, pushed to a registry and pulled from it, and started.

    python benchmarks/images.py [--megabytes N] [--files N] [--rounds N] [--output FOLDER]

One generated image of one layer for all; every round asks each contender in a new random order, with a store that is
new each time. All raw samples are kept. As root it runs in its own mount namespace.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shlex
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import image_contenders
import machine
import program
import report
from budgets import UNKNOWN, Budget, in_milliseconds, judged
from image_contenders import EROFS, LOADERS, TAR, TREE, Loader
from measuring import progress
from program import RESULTS, natural
from results import Refusal, Results
from summary import ratio, summarise, table

from kernelbox import Engine

NAME = "bench/image:1"
STARTS = 20
FASTER = {"docker": 1 / 3, "podman": 1.0, "umoci": 1.0, TAR: 1.0}
"""What share of each one's time a load may take."""


@dataclass(slots=True)
class ImageResults:
    machine: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    loads: dict[str, dict[int, float]] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    moves: dict[str, list[float]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, who: str, attempt: str, reason: object) -> None:
        self.refused.append(Refusal(who, attempt, str(reason) or type(reason).__name__))

    def write(self, folder: Path) -> str:
        samples = {name: getattr(self, name) for name in ("machine", "settings", "notes", "loads", "memory", "moves")}
        samples["refused"] = [[each.contender, each.attempt, each.reason] for each in self.refused]
        (folder / "samples.json").write_text(json.dumps(samples, indent=1))
        plain = Results(machine=self.machine, settings=self.settings, notes=self.notes, refused=self.refused)
        parts = [*report.facts(plain), *self._tables(), *report.verdicts(budgets(self)), *report.refusals(plain)]
        words = "\n\n".join(parts)
        (folder / "table.txt").write_text(words + "\n")
        return words

    def _tables(self) -> Iterator[str]:
        loads = {name: list(found.values()) for name, found in self.loads.items()}
        for title, samples in (("Load of the archive", loads), ("Registry on loopback, and starts", self.moves)):
            rows = [("", "median s", "95 % interval", "least", "most", "memory MB")]
            for name, seconds in samples.items():
                found = summarise(seconds)
                most = max(self.memory.get(name, [0])) / 1e6
                cells = (f"{found.median:.3f}", found.interval(3), f"{found.least:.3f}", f"{found.most:.3f}")
                rows.append((name, *cells, f"{most:.0f}" if most else ""))
            if len(rows) > 1:
                yield f"{report.heading(title)}\n{table(rows)}"
        yield "\n".join(report.wrapped(each.name, each.how, 32) for each in LOADERS if each.name in self.loads)


def budgets(results: ImageResults) -> Iterator[Budget]:
    ours = results.loads.get(EROFS, {})
    yield in_milliseconds("load (the promise is of 695 MB and 60,000 files)", 4000, list(ours.values()))
    for name, limit in FASTER.items():
        yield share(f"load, of {name}'s", limit, ours, results.loads.get(name, {}))
    yield share("load with layers as folders, of tar's", 1.0, results.loads.get(TREE, {}), results.loads.get(TAR, {}))
    most = max((max(results.memory.get(name, [0])) for name in (EROFS, TREE)), default=0)
    yield Budget("memory of a load", "100 MB", f"{most / 1e6:.0f}" if most else UNKNOWN, judged(most, most, 100e6))
    yield in_milliseconds("a second pull", 50, results.moves.get("a second pull", ()))


def share(what: str, limit: float, of: dict[int, float], to: dict[int, float]) -> Budget:
    found = ratio(of, to)
    if found is None:
        return Budget(what, f"{limit:.2g}", UNKNOWN, "")
    return Budget(what, f"{limit:.2g}", f"{found.value:.2f}", judged(found.low, found.high, limit))


def generate(folder: Path, megabytes: int, files: int, seed: int) -> Path:
    """The tar of a layer: files of random sizes, half of whose content repeats, in folders of a hundred."""
    chance, path = random.Random(seed), folder / "layer.tar"
    average = megabytes * 1_000_000 // files
    repeated = chance.randbytes(1 << 16)
    with tarfile.open(path, "w") as tar:
        for number in range(files):
            if number % 100 == 0:
                tar.addfile(folder_entry(f"usr/share/{number // 100:04}"))
            size = chance.randrange(average * 2)
            content = (chance.randbytes(size // 2) + repeated * (size // (1 << 17) + 1))[:size]
            info = tarfile.TarInfo(f"usr/share/{number // 100:04}/file-{number:06}")
            info.size, info.mode, info.mtime = size, 0o644, 1_700_000_000
            tar.addfile(info, io.BytesIO(content))
    return path


def folder_entry(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def make_archive(layer: Path, rootfs: Path, scratch: Path) -> Path:
    """The image, busybox below the layer's files, as an archive that all contenders read."""
    archive = layer.with_name("image.tar")
    with tarfile.open(layer, "a") as tar:
        tar.add(rootfs, arcname=".")
    with Engine(scratch / "making") as box:
        box.images.import_(layer, NAME, changes=['CMD ["true"]'])
        box.images.save(NAME, archive)
    return archive


def loads(options: argparse.Namespace, archive: Path, scratch: Path, results: ImageResults) -> None:
    alive = [each for each in LOADERS if not each.missing()]
    for each in LOADERS:
        if each not in alive:
            results.refuse(each.name, "all", "is not installed")
    order = random.Random(options.seed)
    for number in range(options.rounds):
        for each in order.sample(alive, len(alive)):
            progress(f"load {number + 1} of {options.rounds}: {each.name}")
            if not load_once(each, number, archive, scratch, results):
                alive.remove(each)


def load_once(one: Loader, number: int, archive: Path, scratch: Path, results: ImageResults) -> bool:
    try:
        with one.begin(archive, scratch) as command:
            seconds, memory = image_contenders.measured(command, one.variables, scratch / "log")
    except (RuntimeError, OSError) as reason:
        results.refuse(one.name, f"load {number + 1}", reason)
        return False
    results.loads.setdefault(one.name, {})[number] = seconds
    results.memory.setdefault(one.name, []).append(memory)
    return True


def moves(options: argparse.Namespace, archive: Path, rootfs: Path, scratch: Path, results: ImageResults) -> None:
    """Push to a registry of our own on loopback, pull into an empty store, pull again, and starts beside dir:."""
    from kernelbox.registry.server.serving import registry

    for number in range(options.rounds):
        progress(f"registry {number + 1} of {options.rounds}")
        with (
            image_contenders.fresh(scratch) as store,
            registry(store / "registry") as served,
            Engine(store / "one") as one,
            Engine(store / "two") as two,
        ):
            name = f"{served.address}/{NAME}"
            one.images.tag(one.images.load(archive)[0].id, name)
            move_once(name, one, two, rootfs, results)


def move_once(name: str, one: Engine, two: Engine, rootfs: Path, results: ImageResults) -> None:
    timed(results, "push", lambda: one.images.push(name))
    timed(results, "pull", lambda: two.images.pull(name))
    timed(results, "a second pull", lambda: two.images.pull(name))
    timed(results, "first start of what was pulled", lambda: two.run(name).check())
    for _ in range(STARTS):
        timed(results, "start of what was pulled", lambda: two.run(name, ["true"]).check())
        timed(results, "start of dir:", lambda: two.run(f"dir:{rootfs}", ["true"]).check())


def timed(results: ImageResults, name: str, act: Callable[[], object]) -> None:
    begun = time.monotonic()
    act()
    results.moves.setdefault(name, []).append(time.monotonic() - begun)


def run(options: argparse.Namespace, scratch: Path, results: ImageResults) -> None:
    """Fills `results`; what raises here ends the measuring, and nothing that is there already."""
    results.machine.update(machine.facts(scratch, {each.name: each.version for each in LOADERS if each.version}))
    results.settings.update(
        megabytes=options.megabytes, files=options.files, rounds=options.rounds, command=shlex.join(sys.argv)
    )
    program.keep_compiled(scratch / "compiled")
    progress("an image is made")
    rootfs = program.rootfs(scratch)
    layer = generate(scratch, options.megabytes, options.files, options.seed)
    archive = make_archive(layer, rootfs, scratch)
    loads(options, archive, scratch, results)
    moves(options, archive, rootfs, scratch, results)
    results.machine["load after"] = machine.load()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=natural, default=60, help="the size of the image (default 60)")
    parser.add_argument("--files", type=natural, default=4000, help="files in it (default 4000)")
    parser.add_argument("--rounds", type=natural, default=6, help="samples of each contender (default 6)")
    parser.add_argument("--seed", type=int, default=1, help="of the image and of the random order (default 1)")
    parser.add_argument("--output", type=Path, default=RESULTS / time.strftime("%Y-%m-%d-%H%M%S-images"))
    return parser.parse_args()


if __name__ == "__main__":
    program.measure(arguments(), ImageResults(), run)
