"""Verbs that are called by a program: whose engine they use, and where what they have to say goes."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from kernelbox.cli.caller import Caller, calling, engine, note, tell
from kernelbox.cli.verbs import for_each
from kernelbox.engine.engine import Engine
from kernelbox.errors import ContainerNotFound, KernelBoxError

Capture = pytest.CaptureFixture[str]


def refuse(word: str) -> str:
    if word.startswith("no"):
        raise ContainerNotFound(f"no such container: {word}", hint="look elsewhere")
    note(f"{word} is well")
    return word


@pytest.fixture
def caller() -> Caller:
    return Caller(cast(Any, object()))


def test_a_shell_has_an_engine_of_its_own(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELBOX_ROOT", str(tmp_path))
    with engine() as box:
        assert isinstance(box, Engine)
    assert box.closed


def test_a_caller_lends_its_engine(tmp_path: Any, caller: Caller) -> None:
    with Engine(tmp_path) as mine:
        lending = Caller(mine)
        with calling(lending), engine() as box:
            assert box is mine
        assert not mine.closed
        with calling(caller), engine() as other:
            assert other is caller.box


def test_only_within_the_block(caller: Caller, capsys: Capture) -> None:
    with pytest.raises(RuntimeError), calling(caller):
        raise RuntimeError
    tell(KernelBoxError("it failed", hint="try again"))
    assert capsys.readouterr().err == "kernelbox: it failed\n  hint: try again\n"
    assert not caller.failures


@pytest.mark.parametrize("at_once", [False, True])
def test_what_several_have_to_say_comes_to_the_caller(caller: Caller, capsys: Capture, at_once: bool) -> None:
    threads = threading.active_count()
    with calling(caller):
        assert for_each(["one", "none", "two", "nobody"], refuse, at_once=at_once) == 1
    assert [error.message for error in caller.failures] == ["no such container: none", "no such container: nobody"]
    assert sorted(caller.notes) == ["one is well", "two is well"]
    assert capsys.readouterr() == ("one\ntwo\n", "")
    assert threading.active_count() == threads


def test_a_note_keeps_its_hint(caller: Caller) -> None:
    with calling(caller):
        note("left out a", "see elsewhere")
    assert caller.notes == ["left out a (hint: see elsewhere)"]
