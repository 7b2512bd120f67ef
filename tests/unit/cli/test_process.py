"""The command as a process of its own: what only a real one shows."""

import json
import subprocess
import sys

from memos_core import MemOS
from tests.unit.cli.conftest import Filled


def memos(*words: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "memos_core", *map(str, words)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


def test_another_process_finds_the_store_locked(filled: Filled) -> None:
    with MemOS.open(filled.folder):
        done = memos("list", "--store", filled.folder, "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"] == "Locked"
    assert b"in use by process" in done.stderr
    assert b"Traceback" not in done.stderr


def test_list_does_not_load_the_heavy_libraries(filled: Filled) -> None:
    code = (
        "import sys; from memos_core.cli import main; sys.argv[1:] = sys.argv[2:];\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('onnxruntime', 'pymilvus', 'torch', 'tokenizers') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "memos", "list", "--store", str(filled.folder)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"


def test_output_that_cannot_be_encoded_is_shown_all_the_same(filled: Filled) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    words = ("list", "--cube", "talk", "--store", filled.folder)
    listed = memos(*words, env=environment)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert b"looks at the river. Ol?!" in listed.stdout


def test_a_reader_that_goes_away_is_no_crash(filled: Filled) -> None:
    line = f"{sys.executable} -m memos_core list --store {filled.folder} --json | head -c 1 >/dev/null"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
