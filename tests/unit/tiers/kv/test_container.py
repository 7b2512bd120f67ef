"""The file of a segment: what was written is read, anything else is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from memos_core.errors import BackendError, FormatError, NotFound
from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv import container

IDENTITY = EngineIdentity(
    engine="twin", weights="a", config="b", tokenizer="c", template="d", dtype="float32", attention="sdpa"
)
ARRAYS = {
    "codes": np.arange(-4, 4, dtype=np.int8).reshape(2, 4),
    "keys.0": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "nothing": np.empty((2, 0, 4), dtype=np.float32),
    "raw": np.arange(6, dtype=np.uint16),
    "truth": np.array([True, False]),
}
ZEROS = b"0" * 64
OPEN_FILES = Path("/proc/self/fd")


def header(salt: str = "mira") -> SegmentHeader:
    return segment_header(
        IDENTITY, salt=salt, parent="", start=0, ids=range(12), sources=[Origin("m-1", 3)], form="exact"
    )


def resealed(data: bytes) -> bytes:
    """Give a changed file the checksum that its bytes have now."""
    length = 8 + int.from_bytes(data[:8], "little")
    digits = json.loads(data[8:length])["__metadata__"]["sha256"].encode()
    digest = hashlib.sha256(data.replace(digits, ZEROS)).hexdigest().encode()
    return data.replace(digits, digest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "segment"
    path.write_bytes(container.write(header(), ARRAYS, {"dtype": "float32"}))
    return path


def test_what_is_written_is_read(path):
    arrays, extra = container.read(path, header())
    assert extra == {"dtype": "float32"}
    assert {name: (a.dtype, a.tolist()) for name, a in arrays.items()} == {
        name: (a.dtype, a.tolist()) for name, a in ARRAYS.items()
    }
    assert all(array.shape == ARRAYS[name].shape for name, array in arrays.items())


def test_equal_contents_are_equal_bytes(path):
    backwards = dict(reversed(ARRAYS.items()))
    assert container.write(header(), backwards, {"dtype": "float32"}) == path.read_bytes()


def test_other_programs_read_it_as_safetensors(path):
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(path, "np") as file:
        assert set(file.metadata()) == {"format", "header", "parameters", "sha256"}
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118 - no dict
            name: array.tolist() for name, array in ARRAYS.items()
        }


def test_arrays_of_any_layout_and_byte_order_are_stored_alike(tmp_path):
    path = tmp_path / "segment"
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    path.write_bytes(container.write(header(), {"keys": array}))
    assert container.read(path, header())[0]["keys"].tolist() == array.tolist()


def test_elements_that_safetensors_cannot_name_are_refused():
    with pytest.raises(TypeError, match="complex64"):
        container.write(header(), {"keys": np.zeros(3, dtype=np.complex64)})


def test_writing_into_what_was_read_leaves_the_file_alone(path):
    before = path.read_bytes()
    container.read(path, header())[0]["keys.0"][:] = 0
    assert path.read_bytes() == before


def test_the_header_alone_can_be_read(path):
    assert container.header_of(path) == header()


def test_no_file_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        container.read(tmp_path / "none", header())
    with pytest.raises(NotFound):
        container.header_of(tmp_path / "none")


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are counted as Linux lists them")
def test_arrays_that_are_held_hold_no_file_open(path):
    before = len(list(OPEN_FILES.iterdir()))
    held = [container.read(path, header()) for _ in range(8)]
    assert len(list(OPEN_FILES.iterdir())) == before
    assert len(held) == 8


def test_what_was_read_stays_as_it_was_whatever_becomes_of_the_file(path):
    arrays, _ = container.read(path, header())
    with path.open("r+b") as file:
        file.truncate(0)
    assert arrays["keys.0"].tolist() == ARRAYS["keys.0"].tolist()


@pytest.mark.skipif(os.name != "posix", reason="a link that leads to itself")
@pytest.mark.parametrize("read", [lambda path: container.read(path, header()), container.header_of])
def test_a_file_that_cannot_be_opened_is_neither_damaged_nor_gone(tmp_path, read):
    path = tmp_path / "segment"
    path.symlink_to(path)
    with pytest.raises(BackendError, match="cannot be read now"):
        read(path)


def test_a_folder_is_no_segment(tmp_path):
    with pytest.raises(FormatError):
        container.read(tmp_path, header())


def test_another_header_is_refused(path):
    with pytest.raises(FormatError, match="another KV segment"):
        container.read(path, header(salt="somebody else"))


def test_every_truncation_is_refused(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            container.read(path, header())


def test_every_flipped_byte_is_refused(path):
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with pytest.raises(FormatError):
            container.read(path, header())


def test_bytes_after_the_end_are_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FormatError):
        container.read(path, header())


@pytest.mark.parametrize("length", [0, 1, container.HEAD_LIMIT + 1, 2**63, 2**64 - 1])
def test_an_impossible_header_length_is_refused_without_reading_it(path, length):
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(FormatError):
        container.read(path, header())
    with pytest.raises(FormatError):
        container.header_of(path)


def test_a_pickle_is_refused_and_never_run(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    for data in (
        pickle.dumps(Trap()),
        len(pickle.dumps(Trap())).to_bytes(8, "little") + pickle.dumps(Trap()),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            container.read(path, header())
    assert not (tmp_path / "sprung").exists()


def test_an_npz_and_a_foreign_safetensors_are_refused(path):
    archive = io.BytesIO()
    np.savez(archive, keys=ARRAYS["keys.0"])
    table = {"keys": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"format": "pt"}}
    head = json.dumps(table).encode()
    for data in (archive.getvalue(), len(head).to_bytes(8, "little") + head + b"\0\0\0\0"):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            container.read(path, header())


BAD_HEADS = [
    pytest.param(b'"shape":[2,3,4]', b'"shape":[2,3,5]', id="a shape that its bytes do not fill"),
    pytest.param(b'"shape":[2,3,4]', b'"shape":[2,3,-4]', id="a negative shape"),
    pytest.param(b'"shape":[2,3,4]', b'"shape":[2,3,4.]', id="a shape that is no whole number"),
    pytest.param(b'"dtype":"F32"', b'"dtype":"F99"', id="an unknown element type"),
    pytest.param(b'"dtype":"F32"', b'"dtype":["F"]', id="an element type that is no text"),
    pytest.param(b'"data_offsets":[0,96]', b'"data_offsets":[4,100]', id="a hole"),
    pytest.param(b'"data_offsets":[0,96]', b'"data_offsets":[96,0]', id="an end before its beginning"),
    pytest.param(b"memos.kv/1", b"memos.kv/9", id="another format"),
    pytest.param(b'"parameters":"{', b'"parameters":"[', id="parameters that do not parse"),
    pytest.param(b'\\"salt\\":\\"mira\\"', b'\\"salt\\":\\"miro\\"', id="a header whose key does not match"),
    pytest.param(b'"header":"', b'"footer":"', id="no header"),
    pytest.param(b'"__metadata__"', b'"__netadata__"', id="no metadata"),
]


@pytest.mark.parametrize(("good", "bad"), BAD_HEADS)
def test_a_header_that_lies_is_refused_even_with_its_checksum_right(path, good, bad):
    whole = path.read_bytes()
    assert good in whole
    length = int.from_bytes(whole[:8], "little")
    head = whole[8 : 8 + length].replace(good, bad)[:length].ljust(length)
    changed = whole[:8] + head + whole[8 + length :]
    with suppress(KeyError, ValueError):  # there may be no place left for a checksum
        changed = resealed(changed)
    path.write_bytes(changed)
    with pytest.raises(FormatError):
        container.read(path, header())


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000])
def test_json_made_to_exhaust_is_refused(path, nested):
    path.write_bytes(len(nested).to_bytes(8, "little") + nested)
    with pytest.raises(FormatError):
        container.read(path, header())


def test_shapes_beyond_any_memory_are_refused(path):
    huge = [0, 2**62, 2**62]
    table = {
        "__metadata__": {"format": "memos.kv/1", "header": "", "parameters": "{}", "sha256": "0" * 64},
        "keys": {"dtype": "F32", "shape": huge, "data_offsets": [0, 0]},
    }
    table["__metadata__"]["header"] = json.loads(
        path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    )["__metadata__"]["header"]
    head = json.dumps(table, separators=(",", ":")).encode()
    data = len(head).to_bytes(8, "little") + head
    digest = hashlib.sha256(data).hexdigest().encode()
    path.write_bytes(data.replace(ZEROS, digest))
    with pytest.raises(FormatError):
        container.read(path, header())


@pytest.mark.slow
def test_ten_thousand_random_changes_are_refused_or_harmless(path):
    """Cut, fill, swap, overwrite: nothing but FormatError, and never other arrays than were written."""
    whole = path.read_bytes()
    rnd = random.Random(2026)
    for _ in range(10_000):
        data = bytearray(whole)
        for _ in range(rnd.randint(1, 4)):
            at, length = rnd.randrange(len(data)), rnd.randint(0, 12)
            match rnd.randrange(4):
                case 0:
                    data[at : at + length] = rnd.randbytes(length)
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = rnd.randbytes(length)
                case _:
                    data[at : at + length] = data[-length:] if length else b""
            data = data or bytearray(b"\0")
        changed = bytes(data) if rnd.random() < 0.5 else _sealed_if_it_can_be(bytes(data))
        if changed == whole:
            continue
        path.write_bytes(changed)
        try:
            arrays, _ = container.read(path, header())
        except FormatError:
            continue
        assert changed != bytes(data), "a changed file was believed without a new checksum"
        assert all(type(array) is np.ndarray for array in arrays.values())


def _sealed_if_it_can_be(data: bytes) -> bytes:
    """Reach the checks behind the checksum, too."""
    try:
        return resealed(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data
