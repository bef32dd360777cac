"""Which images may be pulled and run: the policy, a TOML file of rules.

    [[rule]]
    pattern = "localhost:5000/lab/*"      # "*" stands for anything, "/" included
    require = "signed"                    # or "nothing", or "reject"
    keys = ["lab.pub"]                    # one of them has to have signed it; beside the policy, or a whole path

The rule with the longest pattern decides, among equally long ones the strictest. What no rule is about is accepted: a
rule for "*" says otherwise. Patterns are of names without tags, as people write them ("debian") or whole
("docker.io/library/debian").

Signatures are verified when an image is pulled, and who has signed is kept beside it: a start compares that with the
policy of now. What was loaded, imported or made here is signed by nobody. `host`, folders and bundles are files of this
machine, and no rule is about them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.errors import InvalidOption, UntrustedImage, reason_of
from kernelbox.oci import reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.registry.key_files import fingerprint
from kernelbox.store.trust_rows import Vouched

if TYPE_CHECKING:
    from kernelbox.engine.image import Image
    from kernelbox.registry.client import Client
    from kernelbox.store.image_store import ImageStore

__all__ = ["MACHINE", "Rule", "check_start", "checked", "load", "read", "rule_for"]

MACHINE = Path("/etc/kernelbox/policy.toml")
_REQUIRE = ("nothing", "signed", "reject")
_MOST_BYTES = 1 << 20
_MOST_RULES = 1000
_known: dict[Path, tuple[tuple[int, int, int], tuple[Rule, ...]]] = {}
"""What was read of each file, and which file that was: inode, time, size."""


@frozen
class Rule:
    """`source` is the file that it stands in."""

    pattern: str
    require: str
    keys: tuple[Path, ...]
    source: Path

    def matches(self, name: Reference) -> bool:
        """Whether it is about images of this repository."""
        wanted = re.compile(re.sub(r"(\\\*)+", ".*", re.escape(self.pattern)))
        return any(wanted.fullmatch(each) is not None for each in (name.name, name.familiar_name))


def load(environ: Mapping[str, str] = os.environ, machine: Path = MACHINE) -> tuple[Rule, ...]:
    """The rules of the first file that is there: KERNELBOX_POLICY, the user's, the machine's. None: no rules. Raises
    InvalidOption, also for a file that cannot be read: that is not the same as none."""
    if chosen := environ.get("KERNELBOX_POLICY"):
        return _read_once(Path(chosen))
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
    for path in (Path(home, "kernelbox/policy.toml"), machine):
        if _is_there(path):
            return _read_once(path)
    return ()


def _is_there(path: Path) -> bool:
    """Raises InvalidOption where that cannot be seen: what is there might forbid something."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InvalidOption(f"could not look whether there is a policy at {path}: {reason_of(error)}") from error
    return True


def _read_once(path: Path) -> tuple[Rule, ...]:
    """As `read`, of a file that may have been read already: a start is not to read it again."""
    try:
        status = path.stat()
    except OSError:  # reading it will say why
        return read(path)
    stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
    known = _known.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    found = read(path)
    _known[path] = stamp, found
    return found


def read(path: Path) -> tuple[Rule, ...]:
    """A file. Raises InvalidOption, which names the place in it."""
    import tomllib

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InvalidOption(f"{path} is longer than a policy can be")
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise InvalidOption(f"could not read the policy {path}: {reason_of(error)}") from error
    except InvalidOption:
        raise
    except ValueError as error:  # of TOML, or of UTF-8
        raise InvalidOption(f"{path} is not TOML: {error}") from None
    _no_others(document, {"rule"}, str(path))
    tables = document.get("rule", [])
    if not isinstance(tables, list) or len(tables) > _MOST_RULES:
        raise InvalidOption(f"{path}: rule: expected at most {_MOST_RULES} tables", hint="each begins with [[rule]]")
    return tuple(_rule(table, path, f"{path}: rule {number}") for number, table in enumerate(tables, 1))


def rule_for(name: Reference, rules: Sequence[Rule]) -> Rule | None:
    """The one that decides."""
    found = [each for each in rules if each.matches(name)]
    return max(found, key=lambda each: (len(each.pattern), _REQUIRE.index(each.require)), default=None)


def checked(
    client: Client,
    name: Reference,
    verify: str | Path | None,
    vouched: Callable[[Vouched], object] = lambda _: None,
) -> Callable[[Descriptor], None]:
    """What is to be asked about that which `name` stands for, before anything of it is fetched: whether the policy
    accepts it, and whether the owner of the key `verify` has signed it; `vouched` is told who has. It raises
    UntrustedImage, Unauthorized and RegistryError; and so does this, where nothing of that name is accepted, and
    InvalidOption for keys and policy."""
    rule = rule_for(name, load())
    if rule is not None and rule.require == "reject":
        hint = f"the rule for {rule.pattern!r} in {rule.source} says so"
        raise UntrustedImage(f"images of {name.familiar_name} are not accepted here", hint=hint)
    wanted = [rule.keys] if rule is not None and rule.require == "signed" else []
    wanted += [(Path(verify),)] if verify is not None else []
    if not wanted:
        return lambda _: None
    from kernelbox.registry import keys, signatures

    sets = [[keys.public(path) for path in paths] for paths in wanted]

    def check(first: Descriptor) -> None:
        for paths, each in zip(wanted, sets, strict=True):
            signed = signatures.verified(client, name, first, each)
            vouched(Vouched(name.name, fingerprint(paths[signed.key])))

    return check


def check_start(store: ImageStore, image: Image, name: str) -> None:
    """Before a container of an image of the store, which it calls `name`, starts. Raises UntrustedImage where the
    policy does not let it, InvalidOption for a policy, or a key, that cannot be read."""
    rules = load()
    if not rules:
        return
    failures = [_failure(store, image, name, rules, each) for each in _meant(image, name)]
    if None not in failures:
        raise next(each for each in failures if each is not None)


def _failure(
    store: ImageStore, image: Image, name: str, rules: Sequence[Rule], meant: Reference
) -> UntrustedImage | None:
    rule = rule_for(meant, rules)
    if rule is None or rule.require == "nothing":
        return None
    if rule.require == "reject":
        hint = f"the rule for {rule.pattern!r} in {rule.source} says so"
        return UntrustedImage(f"the image {name} is not accepted here", hint=hint)
    wanted = {Vouched(meant.name, fingerprint(path)) for path in rule.keys}
    if wanted & store.vouched(image.digest):
        return None
    return UntrustedImage(
        f"the image {name} may not run: the rule for {rule.pattern!r} in {rule.source} wants it signed, and nobody has"
        " verified that it is",
        hint=f"kernelbox pull {name} verifies it; what was loaded, imported or made here is signed by nobody",
    )


def _meant(image: Image, name: str) -> Sequence[Reference]:
    """That name; where it is an id, all names that the image has: it might be run by each of them. One that has none
    is about no repository, and only a rule for everything means it."""
    names = image.stored.record.names if image.stored else ()
    try:
        found = reference.parse(name)
        key = str(found.with_digest(found.digest) if found.digest else found)
    except InvalidOption:
        found, key = None, ""
    digits = name.removeprefix("sha256:")
    if found is not None and (key in names or not image.digest.startswith(f"sha256:{digits}")):
        return (found,)
    return tuple(map(reference.parse, names)) or (Reference("", ""),)


def _rule(table: object, path: Path, where: str) -> Rule:
    if not isinstance(table, dict):
        raise InvalidOption(f"{where}: expected a table", hint="each begins with [[rule]]")
    _no_others(table, {"pattern", "require", "keys"}, where)
    pattern, require, keys = table.get("pattern"), table.get("require"), table.get("keys", [])
    if not isinstance(pattern, str) or not pattern:
        raise InvalidOption(f"{where}: pattern: expected a name", hint='"localhost:5000/lab/*", for example')
    if require not in _REQUIRE:
        raise InvalidOption(f"{where}: require: expected signed, nothing or reject")
    if not isinstance(keys, list) or not all(isinstance(each, str) and each for each in keys):
        raise InvalidOption(f"{where}: keys: expected a list of files")
    if bool(keys) != (require == "signed"):
        raise InvalidOption(f'{where}: keys: they belong to require = "signed", which needs at least one')
    return Rule(pattern, require, tuple(path.parent / each for each in keys), path)


def _no_others(found: Mapping[str, object], known: set[str], where: str) -> None:
    for key in sorted(found.keys() - known):
        raise InvalidOption(
            f"{where}: {key[:60]!r} is nothing that can be said here", hint=f"known: {', '.join(sorted(known))}"
        )
