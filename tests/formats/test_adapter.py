"""The format of adapters: a file written once is read for ever, also by who knows the document only."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

pytest.importorskip("safetensors")

from memos_core.adapter import to_json
from memos_core.tiers.lora import layout
from tests.unit.tiers.lora.adapters import header, weights

GOLDEN = Path(__file__).parent / "adapter"


def test_what_is_written_today_is_the_golden_file(tmp_path):
    files = layout.exported(layout.pack(weights(), header()), tmp_path / "adapter")
    assert [path.read_bytes() for path in files] == [(GOLDEN / path.name).read_bytes() for path in files]


def test_the_golden_file_is_read():
    packed = layout.unpack((GOLDEN / layout.MODEL).read_bytes())
    assert (packed.header, packed.weights.rank, packed.weights.alpha) == (header(), 2, 4.0)
    assert {name: each.tolist() for name, each in packed.weights.tensors.items()} == {
        name: each.tolist() for name, each in weights().tensors.items()
    }
    assert (GOLDEN / layout.HEADER).read_text() == to_json(header())


def test_the_document_suffices_to_read_it():
    data = (GOLDEN / "adapter_model.safetensors").read_bytes()
    length = 8 + struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8:length])
    metadata = table.pop("__metadata__")
    told, config = json.loads(metadata["memos"]), json.loads(metadata["adapter_config"])
    digest = hashlib.sha256()
    for name in sorted(table):
        begin, end = table[name]["data_offsets"]
        assert table[name]["dtype"] == "F32"
        digest.update(name.encode() + b"\0" + str(tuple(table[name]["shape"])).encode() + b"\0")
        digest.update(data[length + begin : length + end])
    keyed = [told[name] for name in ("format", "base", "cube", "sources", "syllabus", "recipe")]
    assert (told["format"], config["r"], metadata["format"]) == ("memos.adapter/1", 2, "pt")
    assert told["tensors"] == digest.hexdigest()
    assert told["key"] == hashlib.sha256(json.dumps(keyed, sort_keys=True).encode()).hexdigest()
    assert config == json.loads((GOLDEN / "adapter_config.json").read_text())
