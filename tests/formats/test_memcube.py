"""The format of cubes: a file written once is read for ever, also by who knows the document only."""

from __future__ import annotations

import hashlib
import json
import struct
import unicodedata
import zipfile
from pathlib import Path

import pytest

from memos_core import MemOS, inspected
from memos_core.testing import HashEmbedder, InMemoryIndex
from tests.formats.make_memcube import GOLDEN, KEY, PASSPHRASE

FILES = {
    "plain": {},
    "signed": {"verify_key": KEY.public},
    "sealed": {"verify_key": KEY.public, "passphrase": PASSPHRASE},
}
TOLD = json.loads((GOLDEN / "told.json").read_text(encoding="utf-8"))


# --- a reader made from docs/formats/memcube.md; it knows nothing of the package -------------


def plainly_read(path: Path) -> list[dict]:
    """Return the memories of a plain file, checked, each with its versions, sources and links."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(parts.pop("manifest.json"))
    signature = parts.pop("manifest.sig", None)
    assert manifest["format"] == "memcube/1"
    assert (signature is None) == (manifest["signer"] is None)
    assert {part["path"] for part in manifest["parts"]} == set(parts)
    for part in manifest["parts"]:
        data = parts[part["path"]]
        assert (part["size"], part["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    kinds = {part["kind"]: parts[part["path"]] for part in manifest["parts"] if part["kind"] != "vectors"}
    lines = {kind: [json.loads(line) for line in data.splitlines()] for kind, data in kinds.items()}
    assert all(manifest["counts"][kind] == len(rows) for kind, rows in lines.items())
    found = []
    for memory in lines["memories"]:
        of_it = {
            kind: [row for row in lines[kind] if row["memory"] == memory["id"]]
            for kind in ("versions", "sources")
        }
        found.append(
            {
                "id": memory["id"],
                "text": memory["text"],
                "versions": [row.get("text", memory["text"]) for row in of_it["versions"]],
                "sources": [[row["speaker"], row.get("text", memory["text"])] for row in of_it["sources"]],
                "links": [
                    [row["relation"], row["target"]]
                    for row in lines["links"]
                    if row["source"] == memory["id"]
                ],
            }
        )
    return found


def plain_vectors(path: Path) -> list[list[tuple[float, ...]]]:
    """Return the vectors of each memory of a plain file."""
    found = []
    with zipfile.ZipFile(path) as file:
        for part in json.loads(file.read("manifest.json"))["parts"]:
            if part["kind"] == "vectors":
                data = file.read(part["path"])
                length = 8 + struct.unpack("<Q", data[:8])[0]
                table = json.loads(data[8:length])
                begin, end = table["keys"]["data_offsets"]
                keys = struct.unpack(f"<{part['facts']['memories']}i", data[length + begin : length + end])
                _, dimensions = table["vectors"]["shape"]
                begin, _ = table["vectors"]["data_offsets"]
                rows = list(struct.iter_unpack(f"<{dimensions}e", data[length + begin :]))
                for count in keys:
                    found.append(rows[:count])
                    rows = rows[count:]
    return found


def plainly_unsealed(data: bytes, passphrase: str) -> bytes:
    """Return the content of a sealed file; only the cipher itself is not Python's own."""
    aead = pytest.importorskip("cryptography.hazmat.primitives.ciphers.aead")
    magic, line, _ = data.split(b"\n", 2)
    start = len(magic) + len(line) + 2
    head = json.loads(line)
    assert (magic, head["cipher"], head["kdf"]["name"]) == (b"MEMCUBE-SEALED/1", "AES-256-GCM", "scrypt")
    word = unicodedata.normalize("NFC", passphrase).encode()
    cost = {name: head["kdf"][name] for name in "nrp"}
    key = hashlib.scrypt(word, salt=bytes.fromhex(head["kdf"]["salt"]), maxmem=1 << 26, dklen=32, **cost)
    step = head["chunk"] + 16
    chunks = [data[at : at + step] for at in range(start, len(data), step)]
    content = b""
    for number, chunk in enumerate(chunks):
        last = b"\1" if number == len(chunks) - 1 else b"\0"
        nonce = bytes.fromhex(head["nonce"]) + number.to_bytes(4, "big") + last
        content += aead.AESGCM(key).decrypt(nonce, chunk, data[:start])
    return content


# ---------------------------------------------------------------------------------------------


def read_by_us(path, place, **given):
    twins = {"embedder": HashEmbedder(dimensions=16), "index": InMemoryIndex(dimensions=16)}
    with MemOS.open(place, **twins) as memos:
        load = memos.load(path, **given)
        cube = memos.cube("golden", create=False)
        told = [
            {
                "id": memory.id,
                "text": memory.text,
                "versions": [revision.text for revision in cube.history(memory.id)],
                "sources": [[source.speaker, source.text] for source in cube.sources(memory.id)],
                "links": [[link.relation, link.target] for link in memory.header.behaviour.lineage],
            }
            for memory in cube.list()
        ]
        records = {each.key: each.data for each in cube.records.list()}
    return told, records, load


@pytest.mark.parametrize("name", FILES)
def test_a_file_written_once_is_read_for_ever(tmp_path, name):
    told, records, load = read_by_us(GOLDEN / f"{name}.memcube", tmp_path / "store", **FILES[name])
    assert told == TOLD
    assert (records, load.embedded) == ({"k": {"n": [1, None, "ü"]}, "bare": {}}, 0)


@pytest.mark.parametrize("name", ["plain", "signed"])
def test_a_reader_made_from_the_document_reads_the_same(name):
    assert plainly_read(GOLDEN / f"{name}.memcube") == TOLD


def test_it_reads_a_sealed_file_too(tmp_path):
    content = plainly_unsealed((GOLDEN / "sealed.memcube").read_bytes(), PASSPHRASE)
    (tmp_path / "content.zip").write_bytes(content)
    assert plainly_read(tmp_path / "content.zip") == TOLD


def test_it_reads_the_vectors_that_our_embedder_makes():
    vectors = plain_vectors(GOLDEN / "plain.memcube")
    made = HashEmbedder(dimensions=16).embed(["1 May 2026: Mira lives in Porto."])[0]
    assert [len(each) for each in vectors] == [1] * len(TOLD)
    assert vectors[0][0] == pytest.approx(made.tolist(), abs=1e-3)


def test_the_manifest_says_what_it_said():
    manifest = inspected(GOLDEN / "plain.memcube")
    assert (manifest.name, manifest.owner, manifest.embedder) == ("golden", "ana", "hashed-words-16@1")
    assert (manifest.terms.licence, manifest.terms.note, manifest.version) == ("CC0-1.0", "for tests", None)
