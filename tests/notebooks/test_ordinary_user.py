"""Cells of somebody who is not root: variables go in and out, and whatever a container leaves can be removed."""

from __future__ import annotations

import pytest
from ordinary_user import User

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SESSION = r'''
import os
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
shell.run_cell("%load_ext kernelbox").raise_error()
shell.user_ns["who"] = "world"
shell.run_cell("""%%container -q -i who -o hello host sh
echo "hello $who, I am $(id -u)" > $KB_OUT/hello
mkdir -p $KB_OUT/a/b && touch $KB_OUT/a/b/c && chmod 0 $KB_OUT/a
""").raise_error()
import kernelbox
assert kernelbox.last.command[-1] != "-delete"
shell.run_cell("""%%container -q -u 1000 -i who -o upper host python3
upper = who.upper()
import os
os.makedirs(os.environ["KB_OUT"] + "/x/y", mode=0o700)
""").raise_error()
print(shell.user_ns["hello"], shell.user_ns["upper"])
shell.run_cell("%unload_ext kernelbox").raise_error()
print([name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("kernelbox")])
'''


def test_variables_in_and_out(ordinary_user: User) -> None:
    done = ordinary_user.python(SESSION)
    assert done.stderr == ""
    assert done.stdout == "hello world, I am 0\n WORLD\n[]\n"
