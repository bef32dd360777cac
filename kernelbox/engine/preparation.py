"""From what a caller asks for to what the monitor gets: options and image -> configuration -> plan and descriptors."""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelbox.engine import joining, own_account, run_words, spec, users, way_out
from kernelbox.engine import sources as option_sources
from kernelbox.engine.beside import NOBODY, Beside
from kernelbox.engine.image import Image
from kernelbox.engine.init_program import INIT
from kernelbox.engine.kernel import Kernel, device_rules, limits_of, seccomp_code
from kernelbox.engine.layer_mounts import LayerMount
from kernelbox.engine.machine import Machine, this_machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.own_files import own_files, without_place
from kernelbox.engine.own_rights import within_own_capabilities
from kernelbox.engine.result import ContainerInfo, LimitsReport
from kernelbox.engine.volume_mounts import NOTHING, Placed
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux import cgroups, rlimits
from kernelbox.oci.runtime_spec import UNLIMITED, Config, IdMapping
from kernelbox.runtime import compile_root
from kernelbox.runtime import rootless as rootless_ids
from kernelbox.runtime.compile import compile_plan
from kernelbox.runtime.compile_root import SCRATCH, is_bind, layer_name
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.plan import ATTACHED, PROCESS, EncodedPlan
from kernelbox.runtime.setup import KEEP_ID
from kernelbox.runtime.target import Layer, Rootfs, Target
from kernelbox.store.id_ranges import IdRange
from kernelbox.store.paths import StorePaths

__all__ = ["Kept", "Prepared", "bundle_ids", "filter_of", "prepare", "wants_userns"]

_ROOTLESS_NOTES = (
    "an ordinary user's containers share one user namespace and one limit of processes",
    "the out-of-memory score is not raised: only root's monitor may",
)
_NO_GROUPS_NOTE = "memory_peak_bytes is that of the largest process: without a control group the whole is not counted"
_NO_DEVICE_RULES_NOTE = "device rules are not in force: this machine has neither device filters nor the devices group"


@dataclass(frozen=True, slots=True)
class Kept:
    """A container that stays when it ends. `attach`: what it writes is wanted by who starts it; `adopt`: it runs
    already, and its process is sent along; `id_mark` is where it is written whose the range of ids is."""

    id: str
    name: str
    attach: bool = False
    adopt: bool = False
    id_mark: str = ""
    sweep: bool = False
    """Its folder goes when it ends."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One container, ready to be launched. `program` is its loaded device filter, `mapped` the folders and mounts that
    are sent along, with mapped ids where the container has ids of its own: (name of the descriptor, path)."""

    info: ContainerInfo
    config: Config
    encoded: EncodedPlan
    target: Target
    program: int
    mapped: tuple[tuple[str, str | LayerMount], ...]
    limits: LimitsReport
    locks: tuple[int, ...] = ()
    """What its monitor holds for it beside its ids: the volumes that it has."""

    def descriptors(self, taken: IdRange | None, standard_input: int, userns: int, process: int = -1) -> list[int]:
        """What the plan names, in its order. `userns` is a bundle's own user namespace, `process` that of a container
        that runs already."""
        found = {name: taken.mapped(path) if taken else _plain(path) for name, path in self.mapped}
        found |= {f"volume {number}": lock for number, lock in enumerate(self.locks)}
        found |= {"devices": self.program, "stdin": standard_input, "userns": userns, PROCESS: process}
        if taken:
            found |= {"userns": taken.userns, "ids": taken.lock}
        return [found[name] for name in self.encoded.names]

    @property
    def terminal(self) -> bool:
        """Whether the program has a terminal of its own."""
        return self.config.process is not None and self.config.process.terminal

    def renamed(self) -> Prepared:
        """The same for another container, with an id of its own."""
        identity = secrets.token_hex(32)
        old = self.info
        hostname = identity[:12] if old.hostname == old.id[:12] else old.hostname
        name = run_words.name_of(identity) if old.name == run_words.name_of(old.id) else old.name
        info = ContainerInfo(identity, name, hostname)
        return dataclasses.replace(self, info=info, encoded=self.encoded.renamed(identity))

    @property
    def token(self) -> bytes:
        return bytes.fromhex(self.info.id)


def prepare(
    kernel: Kernel,
    paths: StorePaths,
    image: Image,
    command: Sequence[str],
    options: RunOptions,
    taken: IdRange | None,
    *,
    shared: Mapping[str, int],
    with_input: bool,
    rootless: bool,
    kept: Kept | None = None,
    beside: Beside = NOBODY,
    placed: Placed = NOTHING,
) -> Prepared:
    """`taken` are the ids of the container's user namespace, if it is to have one (`wants_userns`); `shared` the
    monitor's descriptors; `with_input`: bytes will be sent to the program; `kept` is said of a container that stays
    when it ends; `placed` says where its volumes are.

    Raises InvalidOption, NotSupported or NotFound."""
    identity = kept.id if kept else placed.run or secrets.token_hex(32)
    home = paths.containers if kept else paths.runs
    machine = this_machine()
    keeps_id = own_account.keeps_id(options, image, rootless=rootless)
    accounts = own_account.accounts_of(image, options, machine) if keeps_id else None
    config = _config(image, command, beside.named(options), machine, identity, taken, rootless, placed, accounts)
    joined = joining.join(config, beside, kernel.features, rootless=rootless)
    config, lowered = _clamped(joined.config, options)
    if not rootless and not (config.linux and config.linux.uid_mappings):
        config, dropped = within_own_capabilities(config, options)
        lowered += dropped
    resources = config.linux.resources if config.linux else None
    limits = limits_of(resources)
    rules = device_rules(resources.devices if resources else (), bundle=image.bundle is not None)
    filtered = bool(rules) and kernel.features.bpf_device and kernel.hierarchy.unified is not None
    groups, counters = _groups(kernel, f"kernelbox/{paths.name}/{identity}", limits, () if filtered else rules)
    program = kernel.device_program(rules) if filtered and groups else -1
    rootfs = _rootfs(kernel, home, image, taken)
    files: dict[str, str | bytes] = {} if image.bundle else {**own_files(options, config, beside.files)}
    files |= own_account.account_files(accounts) if accounts else {}
    left_out = without_place(image, files) if rootless else ()
    mapped = _mapped(kernel, image, rootfs, home)
    sources = _sources(kernel, config, taken, placed, joined.memory)
    name = kept.name if kept else options.name or run_words.name_of(identity)
    target = Target(
        id=identity,
        rootfs=rootfs,
        features=kernel.features,
        groups=groups,
        counters=counters,
        userns="userns" if taken or (not rootless and bundle_ids(image)) else KEEP_ID if keeps_id else NONE,
        device_filter="devices" if program >= 0 else NONE,
        held=(*(("ids",) if taken else ()), *placed.names_of_locks),
        files={path: content for path, content in files.items() if path not in left_out},
        sources=sources,
        beneath={source: (folder, below) for source, (folder, below, _) in placed.folders.items() if below},
        volumes=(name, *placed.names) if placed.names else (),
        folder_made=placed.folder_made,
        shared_memory=joined.memory,
        beside={kind: other for kind, (other, _) in beside.spaces.items()},
        seccomp=filter_of(config, bundle=image.bundle is not None),
        lease=kept is None,
        kept=kept is not None,
        swept=kept is None or kept.sweep,
        interactive=options.interactive,
        owner=compile_root.user_of(config),
        id_mark=kept.id_mark if kept else "",
        rootless=rootless,
        way_out=() if image.bundle else way_out.program(options.network, rootless=rootless),
        bundle=image.bundle_path or str(home / identity),
    )
    notes = (*options.notes, *joined.notes, *lowered, *kernel.hierarchy.unsupported(limits))
    notes += (*_notes(target, left_out, bool(rules) and not filtered), *(placed.unmapped(sources) if taken else ()))
    applied = {each: getattr(limits, each) for each in limits.asked()}
    info = ContainerInfo(identity, name, config.hostname)
    null = not (kept and options.interactive and not options.tty) and not with_input
    words = b"" if kept else run_words.encode(image.name, command, options)
    encoded = _encoded(config, target, kept, _sent(target, null, mapped), shared, words, with_input=with_input)
    return Prepared(info, config, encoded, target, program, mapped, LimitsReport(applied, notes), placed.locks)


def _sent(target: Target, null: bool, mapped: Sequence[tuple[str, object]]) -> list[str]:
    """What is sent along, in the order in which the plan counts it; `null` is a standard input with nothing in it."""
    wanted = {"userns": target.userns == "userns", **dict.fromkeys(target.held, True)}
    wanted |= {"devices": target.device_filter != NONE, "stdin": null}
    return [*(name for name, is_wanted in wanted.items() if is_wanted), *(name for name, _ in mapped)]


def _notes(target: Target, left_out: Sequence[str], open_devices: bool) -> Iterator[str]:
    if target.rootless:
        yield from _ROOTLESS_NOTES
    if target.userns == KEEP_ID and not rootless_ids.can_map_many():
        yield own_account.ONE_ID_NOTE
    if not target.groups:
        yield _NO_GROUPS_NOTE
    if open_devices and not target.rootless and not any("devices" in group.controllers for group in target.groups):
        yield _NO_DEVICE_RULES_NOTE
    yield from (f"{path} is not the container's own: its folder in the image is somebody else's" for path in left_out)


def _encoded(
    config: Config,
    target: Target,
    kept: Kept | None,
    names: Sequence[str],
    shared: Mapping[str, int],
    words: bytes,
    *,
    with_input: bool,
) -> EncodedPlan:
    plan = compile_plan(config, target)
    tty = config.process is not None and config.process.terminal
    if kept is None:
        pipes = 0 if tty else int(with_input) | 6
        return plan.encode(names, shared, identity=target.id, pipes=pipes, words=words)
    given = [*names, PROCESS] if kept.adopt else names
    pipes = (2 if tty else 6) if kept.attach else 0
    return plan.encode(given, shared, identity=target.id, pipes=pipes, piped_names=("", *ATTACHED))


def wants_userns(options: RunOptions, image: Image, *, rootless: bool) -> bool:
    """Whether the container has a user namespace made for it: an ordinary user's monitor is in one already, a bundle
    says itself what it wants."""
    return not rootless and image.bundle is None and options.userns != "host"


def bundle_ids(image: Image) -> tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]] | None:
    """The ids of the user namespace that a bundle asks for; its root file system belongs to them already.

    Raises InvalidOption."""
    linux = image.bundle.linux if image.bundle else None
    if linux is None:
        return None
    wanted = any(space.type == "user" and not space.path for space in linux.namespaces)
    if not wanted == bool(linux.uid_mappings) == bool(linux.gid_mappings):
        raise InvalidOption("a user namespace and linux.uidMappings and gidMappings need each other")
    return (linux.uid_mappings, linux.gid_mappings) if wanted else None


def _config(
    image: Image,
    command: Sequence[str],
    options: RunOptions,
    machine: Machine,
    identity: str,
    taken: IdRange | None,
    rootless: bool,
    placed: Placed,
    accounts: tuple[bytes, bytes] | None,
) -> Config:
    """`accounts` are those of a container that keeps the ids of an ordinary user."""
    if image.bundle:
        return _bundle_config(_with_given_ids(image.bundle) if rootless else image.bundle, command)
    user = users.ROOT
    wanted = spec.user_text(options, image.config, machine)
    if wanted or options.group_add:
        user = users.resolve_user(wanted, *(accounts or image.read_accounts()), options.group_add)
    id_map = spec.IdMap(taken.start) if taken else own_account.id_map() if accounts else None
    return spec.build(
        options,
        image.config,
        command,
        machine,
        container_id=identity,
        user=user,
        id_map=id_map,
        sources=option_sources.look_up(options, known=placed.folders),
        mounts=(*image.mounts, INIT) if options.init else image.mounts,
        inherited_ids=rootless_ids.id_counts()[0] if rootless and not accounts else 0,
    )


def _with_given_ids(config: Config) -> Config:
    """An ordinary user's monitor is in a user namespace already: a bundle that wants one like it has it."""
    linux = config.linux
    if linux is None or not linux.uid_mappings:
        return config
    for mappings, own in ((linux.uid_mappings, os.getuid()), (linux.gid_mappings, os.getgid())):
        if mappings != (IdMapping(0, own, 1),):
            raise NotSupported(
                "an ordinary user's bundle cannot choose its ids", hint=f"map 0 to {own} alone, or leave the map out"
            )
    spaces = tuple(space for space in linux.namespaces if space.type != "user")
    given = dataclasses.replace(linux, uid_mappings=(), gid_mappings=(), namespaces=spaces)
    return dataclasses.replace(config, linux=given)


def _bundle_config(config: Config, command: Sequence[str]) -> Config:
    if not command or config.process is None:
        return config
    return dataclasses.replace(config, process=dataclasses.replace(config.process, args=tuple(command)))


def _clamped(config: Config, options: RunOptions) -> tuple[Config, tuple[str, ...]]:
    """Resource limits as far as this process may set them, and a sentence for each that had to be lowered."""
    process = config.process
    if process is None or all(limit.hard == 0 for limit in process.rlimits):
        return config, ()
    asked = [
        rlimits.Rlimit(each.type.removeprefix("RLIMIT_").lower(), _unlimited(each.soft), _unlimited(each.hard))
        for each in process.rlimits
    ]
    given, sentences = rlimits.clamp(asked)
    if not sentences:
        return config, ()
    changed = tuple(
        dataclasses.replace(old, soft=new.soft % (1 << 64), hard=new.hard % (1 << 64))
        for old, new in zip(process.rlimits, given, strict=True)
    )
    return dataclasses.replace(config, process=dataclasses.replace(process, rlimits=changed)), sentences


def _unlimited(value: int) -> int:
    """OCI writes "no limit" as the largest number, getrlimit(2)'s callers as -1."""
    return rlimits.UNLIMITED if value == UNLIMITED else value


def _groups(
    kernel: Kernel, name: str, limits: cgroups.Limits, rules: tuple[object, ...]
) -> tuple[tuple[cgroups.Group, ...], tuple[cgroups.Counter, ...]]:
    from kernelbox.linux import devices

    lines = devices.v1_lines(rules) if rules else ()  # type: ignore[arg-type]
    groups = kernel.hierarchy.groups(name, limits, lines)
    return groups, kernel.hierarchy.counters(groups)


def _rootfs(kernel: Kernel, home: Path, image: Image, taken: IdRange | None) -> Rootfs:
    if image.bundle:
        return Rootfs(path=image.root, mapped=False)
    userns = taken.userns if taken else -1
    by_descriptor = kernel.features.overlay_by_fd  # by path, a mount is used up
    layers = []
    for each in image.layers:
        mapped = taken is not None and (each.erofs or _can_map(kernel, each.path, userns))
        given = each.erofs or (mapped and bool(each.path) and by_descriptor)
        layers.append(Layer(each.path, each.source, mapped, given=given))
    # What is copied up from a layer without mapped ids has ids that a mapped upper layer does not know (EOVERFLOW).
    upper = taken is not None and not _has_foreign(layers) and kernel.can_map(str(home), userns)
    return Rootfs(tuple(layers), upper_mapped=upper, scratch_given=upper and by_descriptor)


def _has_foreign(layers: Sequence[Layer]) -> bool:
    """Whether there is a folder of the machine among them whose ids cannot be mapped."""
    return any(layer.path and not layer.mapped for layer in layers)


def _plain(path: str | LayerMount) -> int:
    assert isinstance(path, LayerMount)  # a folder is only sent along for its mapped ids
    return path.fileno()


def _mapped(kernel: Kernel, image: Image, rootfs: Rootfs, home: Path) -> tuple[tuple[str, str | LayerMount], ...]:
    given = [
        (layer_name(number), kernel.layers.folder_of(image.layers[number]))
        for number, layer in enumerate(rootfs.layers)
        if layer.given
    ]
    if rootfs.scratch_given:
        given.append((SCRATCH, str(home)))
    return tuple(given)


def _can_map(kernel: Kernel, path: str, userns: int) -> bool:
    return kernel.can_map(path, userns) if path else kernel.features.idmapped_tmpfs


def _sources(
    kernel: Kernel, config: Config, taken: IdRange | None, placed: Placed, memory: str
) -> Mapping[str, tuple[bool, bool]]:
    found = {}
    for mount in config.mounts:
        if is_bind(mount) and mount.source != memory:
            path, _, folder = placed.folders.get(mount.source, (mount.source, "", None))
            try:
                if folder is None:
                    folder = os.path.isdir(path)
                found[mount.source] = (folder, taken is not None and kernel.can_map(path, taken.userns))
            except OSError as error:
                raise InvalidOption(f"mount source {mount.source}: {error.strerror}") from error
    return found


def filter_of(config: Config, *, bundle: bool = False) -> bytes:
    """The compiled system call filter; empty where there is none. Raises NotSupported."""
    held = config.process.capabilities.bounding if config.process and config.process.capabilities else ()
    kind = config.annotations.get(spec.SECCOMP_ANNOTATION, "custom")
    if bundle:
        kind = "custom"  # an image's annotation must not choose (or lift) a filter
    if kind not in ("default", "unconfined", "custom"):
        raise NotSupported(f"there is no system call filter called {kind!r}")
    return seccomp_code(config, kind, held)
