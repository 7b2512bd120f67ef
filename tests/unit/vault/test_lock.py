import os
import subprocess
import sys

import pytest

from memos_core import Locked
from memos_core.vault.lock import FolderLock

HOLD = """
import sys
from pathlib import Path
from memos_core.vault.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_in_this_process_is_told_so(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(Locked, match="this process") as caught:
        FolderLock(tmp_path)
    lock.release()
    assert caught.value.folder == str(tmp_path)


def test_a_released_folder_can_be_held_again(tmp_path):
    lock = FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()
    assert not (tmp_path / "lock.pid").exists()


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def test_another_process_is_named_by_its_id(tmp_path, holder):
    with pytest.raises(Locked, match=f"process {holder.pid}:") as caught:
        FolderLock(tmp_path)
    assert caught.value.holder == f"process {holder.pid}"


def test_a_process_that_was_killed_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    stale = (tmp_path / "lock.pid").read_text()
    lock = FolderLock(tmp_path)
    written = (tmp_path / "lock.pid").read_text()
    lock.release()
    assert (stale, written) == (str(holder.pid), str(os.getpid()))


@pytest.mark.parametrize("note", [None, b"", b"\xff\xfe"])
def test_a_holder_without_a_readable_note_is_another_process(tmp_path, note):
    lock = FolderLock(tmp_path)
    (tmp_path / "lock.pid").unlink()
    if note is not None:
        (tmp_path / "lock.pid").write_bytes(note)
    with pytest.raises(Locked) as caught:
        FolderLock(tmp_path)
    lock.release()
    assert caught.value.holder == "another process"
