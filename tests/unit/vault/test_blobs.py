import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import BackendError, FormatError, InvalidInput, NotFound
from memos_core.vault import blobs as module
from memos_core.vault.blobs import GRACE, Blobs, Sweep

DATA = b"some bytes"
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file())


def age(tmp_path, name, seconds):
    path = next((tmp_path / "blobs").rglob(name))
    os.utime(path, (time.time() - seconds,) * 2)


@given(st.binary(max_size=300))
def test_what_was_put_is_what_one_gets(tmp_path_factory, data):
    blobs = Blobs(tmp_path_factory.getbasetemp() / "any-blobs")
    assert blobs.get(blobs.put(data)) == data


def test_a_blob_is_named_by_its_sha256_and_kept_once(blobs, tmp_path):
    names = {blobs.put(DATA), blobs.put(bytes(DATA))}
    assert (names, files(tmp_path), blobs.size()) == ({NAME}, [NAME], len(DATA))


def test_a_missing_blob_is_not_found(blobs):
    with pytest.raises(NotFound) as caught:
        blobs.get(NAME)
    assert (caught.value.what, caught.value.name) == ("blob", NAME)


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", b"SOME BYTES"])
def test_a_damaged_blob_is_never_returned(blobs, tmp_path, damage):
    blobs.put(DATA)
    (tmp_path / "blobs" / NAME[:2] / NAME).write_bytes(damage)
    with pytest.raises(FormatError, match=NAME):
        blobs.get(NAME)
    assert list(blobs.damaged()) == [NAME]


def test_putting_the_bytes_again_mends_a_damaged_blob(blobs, tmp_path):
    blobs.put(DATA)
    (tmp_path / "blobs" / NAME[:2] / NAME).write_bytes(b"")
    blobs.put(DATA)
    assert blobs.get(NAME) == DATA


@pytest.mark.parametrize(
    "name", ["", "../" + NAME[3:], NAME[:-1], NAME.upper(), "g" * 64, NAME + "0", "/" * 64]
)
@pytest.mark.parametrize("verb", ["get", "delete"])
def test_what_is_no_blob_name_never_touches_the_disk(blobs, name, verb):
    with pytest.raises(InvalidInput, match="no blob name"):
        getattr(blobs, verb)(name)


def test_deleting_tells_whether_it_was_there(blobs, tmp_path):
    blobs.put(DATA)
    assert ([blobs.delete(NAME), blobs.delete(NAME)], files(tmp_path)) == ([True, False], [])


def test_a_crash_before_the_rename_leaves_no_blob(blobs, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(_descriptor):
        raise Killed

    monkeypatch.setattr(module.os, "fsync", die)
    with pytest.raises(Killed):
        blobs.put(DATA)
    monkeypatch.undo()
    left = files(tmp_path)
    with pytest.raises(NotFound):
        blobs.get(NAME)
    assert ([name.endswith(".tmp") for name in left], list(blobs.damaged())) == ([True], [])


def test_half_written_files_are_swept_when_they_are_old(blobs, tmp_path):
    half = tmp_path / "blobs" / NAME[:2] / f"{NAME}.0.tmp"
    half.parent.mkdir()
    half.write_bytes(b"half")
    young = blobs.sweep([])
    age(tmp_path, half.name, GRACE + 60)
    assert (young, blobs.sweep([]), files(tmp_path)) == (Sweep(files=0, size=0), Sweep(files=1, size=4), [])


def test_a_sweep_removes_what_is_old_and_unwanted_only(blobs, tmp_path):
    kept, old, young = (blobs.put(data) for data in (b"kept", b"old!!", b"young"))
    for name in (kept, old):
        age(tmp_path, name, GRACE + 60)
    assert (blobs.sweep({kept}), files(tmp_path)) == (Sweep(files=1, size=5), sorted([kept, young]))


def test_a_blob_that_is_put_again_is_young_again(blobs, tmp_path):
    blobs.put(DATA)
    age(tmp_path, NAME, GRACE + 60)
    blobs.put(DATA)
    assert (blobs.sweep([]), blobs.get(NAME)) == (Sweep(files=0, size=0), DATA)


def test_a_full_disk_is_a_backend_error_and_leaves_nothing(blobs, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(BackendError, match="free some space"):
        blobs.put(DATA)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_backend_error(blobs, tmp_path):
    (tmp_path / "blobs" / NAME[:2]).write_bytes(b"a file stands in the way")
    with pytest.raises(BackendError):
        blobs.put(DATA)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is")
def test_bytes_are_synced_before_the_rename_and_every_new_folder_after_it(blobs, tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path))
        fsync(descriptor)

    monkeypatch.setattr(module.os, "fsync", note)
    blobs.put(DATA)
    shard = f"blobs/{NAME[:2]}"
    assert (synced[0].endswith(".tmp"), sorted(synced[1:])) == (True, ["blobs", shard])


def test_eight_threads_put_the_same_bytes(blobs, tmp_path):
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(blobs.put, [DATA] * 64))
    assert (names, files(tmp_path), blobs.get(NAME)) == ({NAME}, [NAME], DATA)
