"""The format of KV segments: a file written once is read for ever, also by who knows the document only."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch

from memos_core.segment import EngineIdentity, Origin, SegmentHeader, segment_header
from memos_core.tiers.kv import container
from memos_core.tiers.kv.codec import TensorCodec
from memos_core.tiers.kv.rope import Rotation, Turn
from memos_core.tiers.kv.states import TensorState

GOLDEN = Path(__file__).parent / "kv"
FORMS = ["exact", "bfloat16", "int8", "sparse-50", "int8+sparse-50"]
START, TOKENS, HEADS, WIDTH = 2, 24, 2, 4


def golden_header(form: str) -> SegmentHeader:
    identity = EngineIdentity(
        engine="transformers",
        weights="11" * 32,
        config="22" * 32,
        tokenizer="33" * 32,
        template="44" * 32,
        dtype="float32",
        attention="sdpa",
        rope="55" * 32,
    )
    return segment_header(
        identity,
        salt="everyone",
        parent="66" * 32,
        start=START,
        ids=range(500, 500 + TOKENS),
        sources=[Origin("mémoire", 3)],
        kind="chain",
        form=form,
    )


def golden_codec(form: str) -> TensorCodec:
    frequencies = torch.tensor([1.0, 0.125])
    turns = Turn(frequencies=frequencies), Turn(frequencies=frequencies, interleaved=True), None
    return TensorCodec(form=form, rotation=lambda: Rotation(layers=turns))


def golden_state() -> TensorState:
    """Small fractions that every machine computes alike; they are exact in bfloat16, too."""
    numbers = torch.arange(6 * HEADS * TOKENS * WIDTH).reshape(6, HEADS, TOKENS, WIDTH)
    elements = ((numbers * 37) % 101 - 50) / 32
    return TensorState(
        start=START,
        end=START + TOKENS,
        keys=tuple(elements[:3].unbind()),
        values=tuple(elements[3:].unbind()),
    )


# --- a reader made from docs/formats/kv.md; it knows nothing of the package ------------------


def plainly_read(data: bytes) -> dict[str, list]:
    """Return positions, keys and values of every layer, [layer][head][token][dimension]."""
    length = 8 + struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8:length])
    metadata = table.pop("__metadata__")
    digits = metadata["sha256"].encode()
    assert metadata["format"] == "memos.kv/1"
    assert hashlib.sha256(data.replace(digits, b"0" * 64)).hexdigest().encode() == digits
    header, parameters = json.loads(metadata["header"]), json.loads(metadata["parameters"])
    read = {"positions": [], "keys": [], "values": []}

    def flat(name: str) -> list:
        begin, end = (length + offset for offset in table[name]["data_offsets"])
        code, size = {"F32": ("f", 4), "I32": ("i", 4), "I8": ("b", 1), "U16": ("H", 2)}[table[name]["dtype"]]
        numbers = struct.unpack(f"<{(end - begin) // size}{code}", data[begin:end])
        if code == "H":
            return [struct.unpack("<f", struct.pack("<I", number << 16))[0] for number in numbers]
        return list(numbers)

    def shaped(name: str) -> list:
        numbers = iter(flat(name))
        heads, tokens, width = table[name]["shape"]
        return [[[next(numbers) for _ in range(width)] for _ in range(tokens)] for _ in range(heads)]

    for layer in range(int(parameters["layers"])):
        places = list(range(header["start"], header["start"] + len(header["ids"])))
        places = flat(f"positions.{layer}") if f"positions.{layer}" in table else places
        read["positions"].append(places)
        for what in ("keys", "values"):
            name = f"{what}.{layer}"
            rows = shaped(name)
            if "int8" in header["form"]:
                first = shaped(f"{name}.first") if f"{name}.first" in table else [[] for _ in rows]
                scale, low = shaped(f"{name}.scale"), shaped(f"{name}.low")
                for head, codes in enumerate(rows):
                    for token, row in enumerate(codes):
                        at = 0 if what == "keys" else token
                        step, base = scale[head][at], low[head][at]
                        row[:] = [
                            (code + 128) * step[i % len(step)] + base[i % len(base)]
                            for i, code in enumerate(row)
                        ]
                        turn = json.loads(parameters["turns"])[layer]
                        if what == "keys" and turn:
                            turned(row, places[len(first[0]) + token], flat(turn[0]), turn[1])
                rows = [[*one, *other] for one, other in zip(first, rows, strict=True)]
            read[what].append(rows)
    return read


def turned(row: list, place: int, frequencies: list, layout: str) -> None:
    for i, frequency in enumerate(frequencies):
        one, other = (i, i + len(frequencies)) if layout == "half" else (2 * i, 2 * i + 1)
        cos, sin = math.cos(place * frequency), math.sin(place * frequency)
        row[one], row[other] = row[one] * cos - row[other] * sin, row[other] * cos + row[one] * sin


# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_file_written_once_is_read_for_ever(form):
    path = GOLDEN / f"{form}.safetensors"
    assert container.header_of(path) == golden_header(form)
    read, made = golden_codec("exact").unpack(path, golden_header(form)), golden_state()
    arrays, _ = container.read(path, golden_header(form))
    off = 0.02 if form.startswith("int8") else 0.0
    for layer in range(3):
        positions = arrays.get(f"positions.{layer}")
        at = slice(None) if positions is None else torch.from_numpy(positions).long() - START
        for one, other in ((read.keys, made.keys), (read.values, made.values)):
            assert float((one[layer] - other[layer][:, at]).abs().max()) <= off


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_made_from_the_document_reads_the_same(form):
    path = GOLDEN / f"{form}.safetensors"
    plain = plainly_read(path.read_bytes())
    read = golden_codec("exact").unpack(path, golden_header(form))
    for layer in range(3):
        assert torch.allclose(torch.tensor(plain["keys"][layer]), read.keys[layer], atol=1e-5)
        assert torch.allclose(torch.tensor(plain["values"][layer]), read.values[layer], atol=1e-5)
        assert len(plain["positions"][layer]) == read.kept


@pytest.mark.parametrize("form", ["exact", "bfloat16"])
def test_the_same_state_is_still_written_as_the_same_bytes(form):
    """The other forms are left out: their last bit is the machine's."""
    packed = golden_codec(form).pack(golden_state(), golden_header(form))
    assert packed == (GOLDEN / f"{form}.safetensors").read_bytes()


def test_the_key_is_what_the_document_says():
    data = (GOLDEN / "exact.safetensors").read_bytes()
    length = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(json.loads(data[8:length])["__metadata__"]["header"])
    identity = json.dumps(["memos.kv/1", header["identity"]], sort_keys=True)
    names = ("salt", "parent", "start", "sources", "kind", "form")
    digest = hashlib.sha256(identity.encode()).hexdigest()
    facts = json.dumps(["memos.kv/1", digest, *(header[name] for name in names)])
    ids = struct.pack(f"<{TOKENS}q", *header["ids"])
    assert hashlib.sha256(facts.encode() + b"\0" + ids).hexdigest() == header["key"]
