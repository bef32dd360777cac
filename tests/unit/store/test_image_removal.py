"""Docker's rules for what an image loses when a name of it is removed, or its id."""

from __future__ import annotations

import pytest

from kernelbox.errors import Conflict, KernelBoxError
from kernelbox.store.image_removal import plan_removal
from kernelbox.store.image_rows import ImageRecord

ID = "sha256:" + "ab" * 32


def planned(names: tuple[str, ...], name: str, *statuses: str, held: bool = False, force: bool = False) -> object:
    record = ImageRecord(ID, "", 0.0, 0.0, names=names)
    containers = [(str(number) * 64, status) for number, status in enumerate(statuses)]
    try:
        plan = plan_removal(record, name, containers, held=held, force=force)
    except KernelBoxError as error:
        return type(error)
    return plan.names, plan.gone


A1, A2, B1 = "docker.io/library/a:1", "docker.io/library/a:2", "docker.io/library/b:1"
AD, BD = f"docker.io/library/a@{ID}", f"docker.io/library/b@{ID}"


@pytest.mark.parametrize(
    ("names", "name", "statuses", "held", "plain", "forced"),
    [
        ((A1,), A1, [], False, ((A1,), True), ((A1,), True)),
        ((A1, A2), A1, [], False, ((A1,), False), ((A1,), False)),
        ((A1, AD), A1, [], False, ((A1, AD), True), ((A1, AD), True)),
        ((A1, A2, AD), A1, [], False, ((A1,), False), ((A1,), False)),
        ((A1, AD, B1), A1, [], False, ((A1, AD), False), ((A1, AD), False)),
        ((A1, BD), A1, [], False, ((A1,), False), ((A1,), False)),
        ((A1, AD), AD, [], False, ((AD,), False), ((AD,), False)),
        ((AD,), AD, [], False, ((AD,), True), ((AD,), True)),
        ((A1, A2), A1, ["running"], False, ((A1,), False), ((A1,), False)),
        ((A1,), A1, ["exited"], False, Conflict, ((A1,), True)),
        ((A1,), A1, ["exited", "running"], False, Conflict, ((A1,), False)),
        ((A1,), A1, [], True, Conflict, ((A1,), False)),
        ((), "", [], False, ((), True), ((), True)),
        ((A1, AD), "", [], False, ((A1, AD), True), ((A1, AD), True)),
        ((A1, A2), "", [], False, Conflict, ((A1, A2), True)),
        ((A1, BD), "", [], False, Conflict, ((A1, BD), True)),
        ((AD, BD), "", [], False, Conflict, ((AD, BD), True)),
        ((A1,), "", ["created"], False, Conflict, ((A1,), True)),
        ((A1,), "", ["running"], False, Conflict, Conflict),
        ((A1,), "", [], True, Conflict, Conflict),
    ],
)
def test_dockers_rules(
    names: tuple[str, ...], name: str, statuses: list[str], held: bool, plain: object, forced: object
) -> None:
    assert planned(names, name, *statuses, held=held) == plain
    assert planned(names, name, *statuses, held=held, force=True) == forced
