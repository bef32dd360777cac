"""Running a program as somebody who is not root, also when the source tree and Python lie in root's home.

The user `kernelbox-test` is made on the first use and removed at the end. The program runs in its own mount namespace,
in which folders that only root may pass (such as /root) are replaced by ones that hold nothing but what is needed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAME = "kernelbox-test"
SOURCES = Path(__file__).resolve().parents[1]

# Arguments: user id, group id, a staging folder, then pairs of a folder to cover and a folder below it to keep, "--",
# the command. Kept folders are bound aside first, because covering hides them.
ENTER = """
uid=$1 gid=$2 stage=$3; shift 3
mount -t tmpfs -o mode=700 tmpfs "$stage"
pairs=''; n=0
while [ "$1" != -- ]; do
    n=$((n + 1)); mkdir "$stage/$n"; mount --bind "$2" "$stage/$n"; pairs="$pairs
$n:$1:$2"; shift 2
done; shift
while IFS=: read -r n cover keep; do
    [ -n "$n" ] || continue
    mountpoint -q "$cover" && [ "$(stat -f -c %T "$cover")" = tmpfs ] || mount -t tmpfs -o mode=755 tmpfs "$cover"
    mkdir -p "$keep"; mount --move "$stage/$n" "$keep"
done <<END
$pairs
END
umount "$stage"
exec setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all -- "$@"
"""


@dataclass(frozen=True, slots=True)
class User:
    """An ordinary user: `home` is a folder of theirs, in which XDG_RUNTIME_DIR and the store default to."""

    name: str
    uid: int
    gid: int
    home: Path

    def environment(self) -> dict[str, str]:
        keep = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "KERNELBOX_PULL") if name in os.environ
        }
        home = str(self.home)
        return {**keep, "USER": self.name, "HOME": home, "TMPDIR": home, "XDG_RUNTIME_DIR": f"{home}/run"}

    def run(
        self,
        command: Sequence[str],
        *,
        input: str | None = None,  # subprocess.run's own name
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """subprocess.run as this user, with text output captured; the exit status is the caller's to check."""
        argv = list(command) if os.getuid() == self.uid else self.entering(command)
        return subprocess.run(
            argv,
            input=input or "",
            capture_output=True,
            text=True,
            env={**self.environment(), **(env or {})},
            cwd=self.home,
            timeout=timeout,
        )

    def python(self, code: str, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        """Run `code` with this interpreter as this user; `options` become environment variables."""
        return self.run([sys.executable, "-c", code, *arguments], env=options)

    def refusal(self) -> str:
        """Why this user may make no user namespace, in the machine's own words; empty where they may. Tried once."""
        if self.uid not in _refusals:
            done = self.run(["unshare", "--user", "--map-root-user", "--mount", "true"])
            _refusals[self.uid] = done.stderr.strip() if done.returncode else ""
        return _refusals[self.uid]

    def entering(self, command: Sequence[str]) -> list[str]:
        pairs = [str(part) for pair in closed_folders() for part in pair]
        stage = self.home / "stage"
        stage.mkdir(exist_ok=True)
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ENTER, "enter"]
        return [*unshare, str(self.uid), str(self.gid), str(stage), *pairs, "--", *command]


_refusals: dict[int, str] = {}


def closed_folders() -> list[tuple[Path, Path]]:
    """(folder that others may not pass, folder below it that Python or the tests need)."""
    pairs = []
    for needed in sorted({SOURCES, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}):
        closed = [parent for parent in needed.parents if not parent.stat().st_mode & 0o001]
        if closed:
            pairs.append((closed[-1], needed))
    kept = {needed for _, needed in pairs}
    return [(cover, needed) for cover, needed in pairs if not kept & set(needed.parents)]


def make() -> tuple[User, bool]:
    """The test user and whether it was made now. As somebody who is not root already: that user.

    Raises FileNotFoundError where the machine has no useradd."""
    if os.getuid():
        entry = pwd.getpwuid(os.getuid())
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path()), False
    made = False
    with suppress(KeyError):
        return from_entry(pwd.getpwnam(NAME)), made
    ids = [*("-K", "UID_MIN=20000"), *("-K", "GID_MIN=20000")]  # those of nobody in the tests' images
    subprocess.run([tool("useradd"), *ids, "--no-create-home", "--shell", "/bin/sh", NAME], check=True)
    return from_entry(pwd.getpwnam(NAME)), True


def from_entry(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, Path())


def remove() -> None:
    subprocess.run([tool("userdel"), NAME], check=True, capture_output=True)


def tool(name: str) -> str:
    """Where an administrator's command is, which need not be in PATH."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found:
        raise FileNotFoundError(f"there is no {name} on this machine")
    return found
