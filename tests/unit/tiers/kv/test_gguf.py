"""The beginning of a GGUF file: read once, believed only where it can be true."""

import struct

import pytest

from memos_core.errors import FormatError, NotFound
from memos_core.tiers.kv.gguf import read_header


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(name, kind, value):
    return text(name) + struct.pack("<I", kind) + value


ENTRIES = [
    entry("general.architecture", 8, text("llama")),
    entry("llama.context_length", 4, struct.pack("<I", 2048)),
    entry("llama.rope.freq_base", 6, struct.pack("<f", 10000.0)),
    entry("tokenizer.ggml.add_bos_token", 7, b"\x01"),
    entry("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
    entry("tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, 2) + struct.pack("<ii", 1, 3)),
    entry("tokenizer.chat_template", 8, text("{{ messages }}")),
]


def gguf(entries, *, version=3, count=None):
    number = len(entries) if count is None else count
    return b"GGUF" + struct.pack("<IQQ", version, 0, number) + b"".join(entries)


@pytest.fixture
def header(tmp_path):
    def read(data):
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return read_header(path)

    return read


def test_numbers_and_texts_are_values_and_arrays_are_digests_only(header):
    found = header(gguf(ENTRIES))
    assert found.values == {
        "general.architecture": "llama",
        "llama.context_length": 2048,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ messages }}",
    }
    assert (found.context, found.template, found.parts) == (2048, "{{ messages }}", 1)
    assert len(found.digests) == len(ENTRIES)


def test_another_token_is_another_tokenizer_and_the_same_rope(header):
    changed = [each.replace(text("b"), text("c")) for each in ENTRIES]
    one, other = header(gguf(ENTRIES)), header(gguf(changed))
    assert one.digest(lambda name: "tokenizer" in name) != other.digest(lambda name: "tokenizer" in name)
    assert one.digest(lambda name: ".rope." in name) == other.digest(lambda name: ".rope." in name) != ""


def test_the_order_of_settings_does_not_matter(header):
    one, other = header(gguf(ENTRIES)), header(gguf(ENTRIES[::-1]))
    assert one.digest(bool) == other.digest(bool)


def test_there_is_no_digest_of_nothing(header):
    assert header(gguf(ENTRIES)).digest(lambda name: name == "absent") == ""


@pytest.mark.parametrize("length", range(0, len(gguf(ENTRIES)), 7))
def test_a_file_cut_short_anywhere_is_a_format_error(header, length):
    with pytest.raises(FormatError):
        header(gguf(ENTRIES)[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"safetensors" * 10,
        gguf(ENTRIES, version=1),
        gguf(ENTRIES, count=1 << 40),
        gguf([entry("a", 99, b"")]),
        gguf([entry("a", 9, struct.pack("<IQ", 9, 1 << 40))]),
        gguf([entry("a", 8, struct.pack("<Q", 1 << 60))]),
        gguf([entry("a", 8, struct.pack("<Q", 1) + b"\xff")]),
    ],
)
def test_what_is_no_gguf_is_a_format_error(header, data):
    with pytest.raises(FormatError):
        header(data)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFound, match=r"absent\.gguf"):
        read_header(tmp_path / "absent.gguf")
