"""Changes that need not be durable at once are seen at once all the same, and in their order."""

from __future__ import annotations

import time
from pathlib import Path

from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.state import StateFile

ID = "ab" * 32


def test_others_see_what_is_not_durable_yet(tmp_path: Path) -> None:
    ours, theirs = StateFile(tmp_path / "state.db"), StateFile(tmp_path / "state.db")
    record = ContainerRecord(id=ID, name="ada", image="host", created_at=time.time())
    try:
        ours.add(record)
        ours.change(ID, "kill", stopped_by_user=True, durable=False)
        assert theirs.get(ID).stopped_by_user
        theirs.change(ID, "die", status="exited")
        ours.note(theirs.get(ID), "stop")
        ours.remove(ID, durable=False)
        assert theirs.all() == []
        assert [event.action for event in theirs.events()] == ["create", "kill", "die", "stop", "destroy"]
    finally:
        ours.close()
        theirs.close()
