"""A registry that is killed before each of its system calls and statements that change something: in uploads, in
manifests, deletions and the garbage collection; and opened again.

What it had answered is so; what it was doing is done or not, and nothing half done shows; what it leaves behind is
collected."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import image_documents as documents
import pytest
import registry_requests as requests
from registry_requests import CONFIG, Answer, ask

from kernelbox.oci.digest import Digest
from kernelbox.registry.server.collect import collect
from kernelbox.registry.server.serving import registry
from kernelbox.registry.server.storage import Storage
from kernelbox.store.blobs import Blobs

LAYER, SECOND = b"a layer " * 100, b"another layer"
IMAGE, OTHER = requests.image((LAYER,)), requests.image((SECOND,))
STRIDE = max(1, int(os.environ.get("KERNELBOX_STRIDE", "3")))
"""Every how many calls one is tried."""

# Forks for each life, so that what a server needs is imported once. A life ends before its call number `left`; what it
# says in the end is how many there were.
LIVES = """
import os, signal, sys, threading
from pathlib import Path
from kernelbox.registry.server.collect import collect
from kernelbox.registry.server.serving import Settings, serve
from kernelbox.registry.server.storage import Storage

CHANGES = {"open", "write", "fsync", "rename", "unlink", "mkdir", "flock", "ftruncate", "execute", "executemany"}
count = 0

def counting(frame, event, called):
    global count
    if event == "c_call" and called.__name__ in CHANGES:
        count += 1
        if count == left:
            os.kill(os.getpid(), signal.SIGKILL)

def live(what, folder):
    threading.setprofile(counting)
    if what == "serve":
        sys.setprofile(counting)
        serve("127.0.0.1:0", Path(folder), Settings(), lambda running: print(running.address, flush=True))
    else:
        with Storage(Path(folder)) as storage:
            sys.setprofile(counting)
            collect(storage, kept_s=-1, uploads_kept_s=-1, untagged=True)
    sys.setprofile(None)

for line in sys.stdin:
    what, left, folder = line.split()
    left = int(left)
    pid = os.fork()
    if not pid:
        live(what, folder)
        print(count, flush=True)
        os._exit(0)
    print("pid", pid, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Lives:
    """Servers and collections, one after the other, each killed before its call number `left`; 0 for never."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    def begin(self, what: str, left: int, folder: Path) -> tuple[int, str]:
        """The process, and the first line that it says: "ended ..." where it was killed before."""
        self._input.write(f"{what} {left} {folder}\n")
        self._input.flush()
        said = [self._output.readline().strip() for _ in range(2)]
        pid = next(line for line in said if line.startswith("pid "))
        return int(pid.split()[1]), next(line for line in said if line != pid)

    def end(self) -> str:
        return self._output.readline().strip()


@pytest.fixture
def lives() -> Iterator[Lives]:
    command = [sys.executable, "-c", LIVES]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        yield Lives(process)
        os.killpg(process.pid, 9)  # also a life that a test which failed has left


State = Mapping[str, object]
"""What shows: blobs by digest, tags, and manifests by digest."""

Step = tuple[Callable[[str, dict[str, str]], Answer], int, State]
"""What a client does, what is answered, and what has changed then."""

REPOSITORY = "/v2/lab/tool"


def pushed(content: bytes) -> Step:
    digest = Digest.of(content)
    where = f"{REPOSITORY}/blobs/uploads/?digest={digest}"
    return lambda address, seen: ask(address, "POST", where, content), 201, {str(digest): True}


def put(name: str, raw: bytes) -> Step:
    digest = str(Digest.of(raw))
    where, kind = f"{REPOSITORY}/manifests/{name}", {"Content-Type": documents.MANIFEST}
    return lambda address, seen: ask(address, "PUT", where, raw, kind), 201, {name: digest, digest: True}


def deleted(what: str, changes: State) -> Step:
    return lambda address, seen: ask(address, "DELETE", f"{REPOSITORY}/{what}"), 202, changes


def begun(address: str, seen: dict[str, str]) -> Answer:
    answer = ask(address, "POST", f"{REPOSITORY}/blobs/uploads/")
    seen["upload"] = answer.headers["Location"]
    return answer


LAYERS = str(Digest.of(LAYER))
STEPS: tuple[Step, ...] = (
    pushed(CONFIG),
    (begun, 202, {}),
    (lambda address, seen: ask(address, "PATCH", seen["upload"], LAYER[:100]), 202, {"upload": "0-99"}),
    (lambda address, seen: ask(address, "PATCH", seen["upload"], LAYER[100:300]), 202, {"upload": "0-299"}),
    (
        lambda address, seen: ask(address, "PUT", f"{seen['upload']}?digest={LAYERS}", LAYER[300:]),
        201,
        {"upload": None, LAYERS: True},
    ),
    pushed(SECOND),
    put("one", IMAGE),
    put("other", OTHER),
    put("one", OTHER),
    put("two", IMAGE),
    deleted("manifests/other", {"other": None}),
    deleted(f"manifests/{Digest.of(IMAGE)}", {"two": None, str(Digest.of(IMAGE)): None}),
    deleted(f"blobs/{LAYERS}", {LAYERS: None}),
)
NOTHING: State = dict.fromkeys(str(Digest.of(each)) for each in (CONFIG, LAYER, SECOND, IMAGE, OTHER))


def client(address: str) -> tuple[State, State, dict[str, str]]:
    """Goes through the steps until nobody answers. What was surely done, what may have been, and what else was seen."""
    state, seen = dict(NOTHING), dict[str, str]()
    for act, status, changes in STEPS:
        try:
            answer = act(address, seen)
        except (OSError, http.client.HTTPException):
            return state, {**state, **changes}, seen
        assert answer.status == status, answer
        state.update(changes)
    return state, state, seen


def shown(address: str, seen: dict[str, str]) -> dict[str, object]:
    """What there is now, all of it whole."""
    found: dict[str, object] = dict(NOTHING)
    for content in (CONFIG, LAYER, SECOND):
        answer = ask(address, "GET", f"{REPOSITORY}/blobs/{Digest.of(content)}")
        assert answer.body == content or answer.code == "BLOB_UNKNOWN"
        found[str(Digest.of(content))] = True if answer.status == 200 else None
    for document, layer in ((IMAGE, LAYER), (OTHER, SECOND)):
        answer = ask(address, "GET", f"{REPOSITORY}/manifests/{Digest.of(document)}")
        assert answer.body == document or answer.status == 404
        found[str(Digest.of(document))] = True if answer.status == 200 else None
        assert answer.status == 404 or (found[str(Digest.of(CONFIG))] and found[str(Digest.of(layer))])
    listed = ask(address, "GET", f"{REPOSITORY}/tags/list")
    for tag in listed.document["tags"] if listed.status == 200 else []:
        answer = ask(address, "GET", f"{REPOSITORY}/manifests/{tag}")
        assert answer.body in (IMAGE, OTHER)
        found[tag] = str(Digest.of(answer.body))
    if "upload" in seen:
        answer = ask(address, "GET", seen["upload"])
        found["upload"] = answer.headers["Range"] if answer.status == 204 else None
    return found


def same(found: State, wanted: State) -> bool:
    """An upload may have more than was answered."""
    rest = {key: value for key, value in found.items() if value is not None and key != "upload"}
    return rest == {key: value for key, value in wanted.items() if value is not None and key != "upload"}


def check(folder: Path, before: State, after: State, seen: dict[str, str]) -> None:
    with registry(folder) as running:
        found = shown(running.address, seen)
    assert same(found, before) or same(found, after), f"{found}\nshould be\n{before}\nor\n{after}"
    had = before.get("upload")
    if isinstance(had, str) and found[LAYERS] is None and after.get(LAYERS) is None:
        assert int(str(found["upload"]).partition("-")[2]) >= int(had.partition("-")[2])


def check_nothing_is_left(folder: Path) -> None:
    """After a collection there is what tags lead to, and nothing else."""
    with Storage(folder) as storage:
        collect(storage, kept_s=-1, uploads_kept_s=-1, untagged=True)
        with storage.state.reading() as cursor:
            known = {row[0] for row in cursor.execute("SELECT digest FROM blobs UNION SELECT digest FROM manifests")}
    assert set(map(str, Blobs(folder / "blobs").every())) == known
    for left in ("uploads", "blobs/new", "blobs/partial"):
        with contextlib.suppress(FileNotFoundError):
            assert list((folder / left).iterdir()) == []


def test_a_server_that_is_killed(lives: Lives, tmp_path: Path) -> None:
    pid, address = lives.begin("serve", 0, tmp_path / "whole")
    done, _, seen = client(address)
    os.kill(pid, 15)
    calls = int(lives.end())
    assert lives.end() == "ended 0"
    check(tmp_path / "whole", done, done, seen)
    assert calls > 60
    for left in range(1, calls + 1, STRIDE):
        folder = tmp_path / str(left)
        pid, address = lives.begin("serve", left, folder)
        before, after, seen = client(address) if not address.startswith("ended") else (NOTHING, NOTHING, {})
        if not address.startswith("ended"):
            with contextlib.suppress(ProcessLookupError):  # calls differ a little from life to life
                os.kill(pid, 9)
            assert lives.end() == "ended -9"
        check(folder, before, after, seen)
        check_nothing_is_left(folder)
        shutil.rmtree(folder)


def test_a_collection_that_is_killed(lives: Lives, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with registry(made) as running:
        for content in (CONFIG, LAYER, SECOND, b"nobody's", b"nobody's either"):
            requests.push_blob(running.address, "lab/tool", content)
        requests.push_manifest(running.address, "lab/tool", OTHER, "one")
        requests.push_manifest(running.address, "lab/tool", IMAGE)
        ask(running.address, "PATCH", requests.begin(running.address, "lab/tool"), b"nothing will come of it")
    whole = {
        **NOTHING,
        **{str(Digest.of(each)): True for each in (CONFIG, SECOND, OTHER)},
        "one": str(Digest.of(OTHER)),
    }
    shutil.copytree(made, tmp_path / "whole")
    _, said = lives.begin("collect", 0, tmp_path / "whole")
    assert lives.end() == "ended 0"
    check(tmp_path / "whole", whole, whole, {})
    calls = int(said)
    assert calls > 20
    for left in range(1, calls + 1, STRIDE):
        folder = tmp_path / str(left)
        shutil.copytree(made, folder)
        _, said = lives.begin("collect", left, folder)
        assert said == "ended -9"
        with registry(folder) as running:
            found = shown(running.address, {})
        assert all(found[key] == value for key, value in whole.items() if value is not None)
        check_nothing_is_left(folder)
        check(folder, whole, whole, {})
        shutil.rmtree(folder)
