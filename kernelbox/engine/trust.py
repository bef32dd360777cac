"""Which images may be pulled: the policy, a TOML file of rules.

    [[rule]]
    pattern = "localhost:5000/lab/*"      # "*" stands for anything, "/" included
    require = "signed"                    # or "nothing", or "reject"
    keys = ["lab.pub"]                    # one of them has to have signed it; beside the policy, or a whole path

The rule with the longest pattern decides, among equally long ones the strictest. What no rule is about is accepted: a
rule for "*" says otherwise. Patterns are of names without tags, as people write them ("debian") or whole
("docker.io/library/debian").
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kernelbox.errors import InvalidOption, UntrustedImage, reason_of
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.registry.client import Client

__all__ = ["MACHINE", "Rule", "checked", "load", "read", "rule_for"]

MACHINE = Path("/etc/kernelbox/policy.toml")
_REQUIRE = ("nothing", "signed", "reject")
_MOST_BYTES = 1 << 20
_MOST_RULES = 1000


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
        return read(Path(chosen))
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
    for path in (Path(home, "kernelbox/policy.toml"), machine):
        if os.path.lexists(path):
            return read(path)
    return ()


def read(path: Path) -> tuple[Rule, ...]:
    """A file. Raises InvalidOption, which names the place in it."""
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


def checked(client: Client, name: Reference, verify: str | Path | None) -> Callable[[Descriptor], None]:
    """What is to be asked about that which `name` stands for, before anything of it is fetched: whether the policy
    accepts it, and whether the owner of the key `verify` has signed it. It raises UntrustedImage, Unauthorized and
    RegistryError; and so does this, where nothing of that name is accepted, and InvalidOption for keys and policy."""
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
        for each in sets:
            signatures.verified(client, name, first, each)

    return check


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
