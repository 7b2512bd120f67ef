"""Every way in which a file can be wrong: a typed error, and not a row changed."""

import json
import stat
import struct
import zipfile

import pytest

from memos_core import AlreadyThere, Bounds, FormatError, InvalidInput, NotFound, inspected
from tests.unit.interchange.archives import packed, retold, unpacked, with_lines, with_manifest


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def flipped(path, part):
    """Change one byte of what a part holds, in the packed bytes."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        entry = file.getinfo(part)
        names, extra = struct.unpack("<HH", data[entry.header_offset + 26 : entry.header_offset + 30])
        data[entry.header_offset + 30 + names + extra + entry.compress_size // 2] ^= 0x10
    path.write_bytes(data)


def with_entry(path, name, data=b"x", **attributes):
    with zipfile.ZipFile(path, "a") as file:
        entry = zipfile.ZipInfo(name)
        for each, value in attributes.items():
            setattr(entry, each, value)
        file.writestr(entry, data)


def with_part(path, name):
    def add(manifest):
        manifest["parts"].append({"path": name, "kind": "other", "size": 1, "sha256": "2d" * 32})

    with_manifest(path, add)
    with_entry(path, name)


def twice(path):
    packed(path, unpacked(path))
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("links.jsonl", b"")


def recompressed(path, method):
    parts = unpacked(path)
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in parts.items():
            file.writestr(name, data)


def without(path, name):
    parts = unpacked(path)
    del parts[name]
    packed(path, parts)


def bare(path, data):
    path.write_bytes(data)


def first(key, value):
    def change(rows):
        where = rows[0]
        *way, last = key.split(".")
        for each in way:
            where = where[each]
        where[last] = value

    return change


def memories(key, value):
    return lambda path: with_lines(path, "memories.jsonl", first(key, value))


def said(key, value):
    return lambda path: with_manifest(path, lambda manifest: manifest.update({key: value}))


def of_parts(change):
    return lambda path: with_manifest(path, lambda manifest: [change(part) for part in manifest["parts"]])


def of_all_parts(change):
    return lambda path: with_manifest(path, lambda manifest: change(manifest["parts"]))


def raw_line(part, line):
    def change(path):
        parts = unpacked(path)
        parts[part] = line + parts[part]
        packed(path, retold(parts))

    return change


def vectors(change):
    def edit(path):
        parts = unpacked(path)
        name = next(name for name in parts if name.startswith("vectors/"))
        parts[name] = change(parts[name])
        packed(path, retold(parts))

    return edit


def lines(part, change):
    return lambda path: with_lines(path, part, change)


WRONG = {
    "nothing": lambda path: bare(path, b""),
    "words": lambda path: bare(path, b"hello\n" * 100),
    "a zip of something else": lambda path: packed(path, {"a.txt": b"x"}),
    "an end alone": lambda path: bare(path, b"PK\5\6" + b"\0" * 18),
    "cut off": lambda path: cut(path, 0.7),
    "cut off at the end": lambda path: cut(path, 0.995),
    "one byte of the memories": lambda path: flipped(path, "memories.jsonl"),
    "an entry without a name": lambda path: with_entry(path, ""),
    "one byte of the vectors": lambda path: flipped(path, "vectors/00000.safetensors"),
    "one byte of the manifest": lambda path: flipped(path, "manifest.json"),
    "a part is gone": lambda path: without(path, "sources.jsonl"),
    "the manifest is gone": lambda path: without(path, "manifest.json"),
    "a part too many": lambda path: with_entry(path, "more.jsonl"),
    "an entry twice": twice,
    "a link": lambda path: with_entry(path, "way", b"/etc", external_attr=(stat.S_IFLNK | 0o777) << 16),
    "a folder": lambda path: with_entry(path, "folder/", b""),
    "a way up": lambda path: with_part(path, "../outside"),
    "a way up inside": lambda path: with_part(path, "a/../../outside"),
    "a way from the root": lambda path: with_part(path, "/outside"),
    "a drive": lambda path: with_part(path, "C:\\outside"),
    "bzip2": lambda path: recompressed(path, zipfile.ZIP_BZIP2),
    "lzma": lambda path: recompressed(path, zipfile.ZIP_LZMA),
    "another version": said("format", "memcube/99"),
    "no version": said("format", None),
    "no time": said("made_at", "yesterday"),
    "a time without a zone": said("made_at", "2024-05-01T12:00:00"),
    "no parts": said("parts", []),
    "parts that are a number": said("parts", 5),
    "counts that lie": said("counts", {"memories": 1}),
    "counts below nothing": said("counts", {"memories": -1}),
    "a cube without a name": said("cube", {"id": "x", "name": " ", "owner": "ana"}),
    "an embedder of no size": said("embedder", {"identity": "hash@1", "dimensions": 0}),
    "a signer without a signature": said("signer", "ab" * 32),
    "a part of another size": of_parts(lambda part: part.update(size=part["size"] + 1)),
    "a part of another digest": of_parts(lambda part: part.update(sha256="ab" * 32)),
    "a digest that is none": of_parts(lambda part: part.update(sha256="AB" * 32)),
    "a part named twice": of_all_parts(lambda parts: parts.append(parts[0])),
    "two parts of memories": of_parts(lambda part: part.update(kind="memories")),
    "a memory without a text": memories("text", ""),
    "a memory of blanks": memories("text", " \n"),
    "a memory that is a number": memories("text", 5),
    "a memory too long": memories("text", "x" * ((1 << 20) + 1)),
    "a memory of half a character": memories("text", "\ud83d"),
    "a memory without an id": memories("id", ""),
    "a memory of version 0": memories("version", 0),
    "a memory of another version": memories("version", 9),
    "a memory in no state": memories("state", "asleep"),
    "an expired memory": memories("state", "expired"),
    "a memory that everyone sees": memories("governance.visibility", "everyone"),
    "a memory too sensitive": memories("governance.sensitivity", 10),
    "a memory truly urgent": memories("governance.priority", True),
    "a memory of no time": memories("descriptive.created_at", "2024-05-01T12:00:00"),
    "a memory before all time": memories("descriptive.event_at", "0001-01-01T00:00:00+05:00"),
    "a memory with one tag": memories("descriptive.tags", "home"),
    "a memory used too often": memories("behaviour.hits", 1 << 60),
    "a memory more than useful": memories("behaviour.usefulness", 1.5),
    "a memory of a usefulness beyond all numbers": memories("behaviour.usefulness", 10**400),
    "a header that is a list": memories("descriptive", []),
    "the same memory twice": lines("memories.jsonl", lambda rows: rows.append(rows[0])),
    "no line": raw_line("memories.jsonl", b"\n"),
    "a line that is a list": raw_line("memories.jsonl", b"[]\n"),
    "a line that is no JSON": raw_line("memories.jsonl", b"{'id': 1}\n"),
    "a line that is not a number": raw_line("memories.jsonl", b'{"id": NaN}\n'),
    "a line too deep": raw_line("memories.jsonl", b"[" * 100_000 + b"\n"),
    "a line of bytes": raw_line("memories.jsonl", b"\xff\xfe\n"),
    "a version of nobody": lines("versions.jsonl", first("memory", "nobody")),
    "a version that is missing": lines("versions.jsonl", lambda rows: rows.pop()),
    "a version out of order": lines("versions.jsonl", lambda rows: rows.reverse()),
    "a last version in other words": lines("versions.jsonl", lambda rows: rows[-1].update(text="no")),
    "a source of nobody": lines("sources.jsonl", first("memory", "nobody")),
    "a source out of order": lines("sources.jsonl", lambda rows: rows.reverse()),
    "a source in no place": lines("sources.jsonl", first("position", -1)),
    "a link to nobody": lines("links.jsonl", first("target", "nobody")),
    "a link to itself": lines("links.jsonl", lambda rows: rows[0].update(target=rows[0]["source"])),
    "a link somehow": lines("links.jsonl", first("relation", "likes")),
    "a link twice": lines("links.jsonl", lambda rows: rows.append(rows[0])),
    "a circle": lines(
        "links.jsonl",
        lambda rows: rows.append({**rows[0], "source": rows[0]["target"], "target": rows[0]["source"]}),
    ),
    "a record twice": lines("records.jsonl", lambda rows: rows.append(rows[0])),
    "a record of nobody": lines("records.jsonl", first("memory", "nobody")),
    "a record that is a list": lines("records.jsonl", first("data", [])),
    "a record without a key": lines("records.jsonl", first("key", "")),
    "vectors cut off": vectors(lambda data: data[:-2]),
    "vectors too many": vectors(lambda data: data + b"\0\0"),
    "vectors of no length": vectors(lambda data: data[:-128] + b"\0" * 128),
    "vectors not finite": vectors(lambda data: data[:-2] + b"\xff\x7f"),
    "vectors of nothing": vectors(lambda data: b""),
    "vectors of another model": vectors(lambda data: data.replace(b"hash", b"hesh")),
    "vectors with a header too long": vectors(lambda data: b"\xff" * 8 + data[8:]),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_wrong_is_refused_and_nothing_is_written(full, file, elsewhere, catalog_rows, what):
    full.dump(file)
    WRONG[what](file)
    elsewhere.cube("mine").remember("something that is here")
    elsewhere.drain()
    before = catalog_rows(elsewhere), sorted(elsewhere._core.folder.iterdir())
    with pytest.raises(FormatError):
        elsewhere.load(file)
    assert (catalog_rows(elsewhere), sorted(elsewhere._core.folder.iterdir())) == before


def test_a_file_that_unpacks_to_too_much_is_refused(cube, file, elsewhere):
    cube.remember("a" * 1_000_000)
    cube.dump(file)
    with pytest.raises(FormatError, match="wider `bounds`"):
        elsewhere.load(file, bounds=Bounds(free=1000, ratio=2))
    with pytest.raises(FormatError, match="unpack"):
        elsewhere.load(file, bounds=Bounds(size=1000))
    assert elsewhere.load(file, bounds=Bounds(free=1000, ratio=2000)).added == 1


def test_vectors_of_other_texts_are_found_out_and_made_anew(full, file, elsewhere):
    def mixed(data):
        length = 8 + int.from_bytes(data[:8], "little")
        shape = json.loads(data[8:length])["vectors"]["data_offsets"]
        body = data[length + shape[0] :]
        return data[: length + shape[0]] + body[128:] + body[:128]  # each has another's

    full.dump(file)
    vectors(mixed)(file)
    load = elsewhere.load(file)
    assert load.embedded == load.added
    assert elsewhere.cube("notes").recall("Where does Mira live?", k=1).texts == ["Mira lives in Lisbon"]


def test_what_is_no_file_is_told(memos, tmp_path):
    with pytest.raises(NotFound, match=r"no file .*gone\.memcube"):
        memos.load(tmp_path / "gone.memcube")
    with pytest.raises(InvalidInput):
        memos.load(tmp_path)
    with pytest.raises(InvalidInput):
        memos.load(5)


def test_a_file_can_be_looked_at_without_a_store(full, file):
    dump = full.dump(file)
    assert inspected(file) == dump.manifest
    flipped(file, "sources.jsonl")
    with pytest.raises(FormatError):
        inspected(file)


def test_a_later_version_names_the_remedy(full, file):
    full.dump(file)
    said("format", "memcube/2")(file)
    with pytest.raises(FormatError, match=r"'memcube/2', not 'memcube/1': .*upgrade"):
        inspected(file)


def test_an_error_in_a_line_says_where(full, file, elsewhere):
    full.dump(file)
    with_lines(file, "memories.jsonl", lambda rows: rows[2]["governance"].update(sensitivity=12))
    with pytest.raises(FormatError, match=r"memories\.jsonl, line 3: sensitivity") as caught:
        elsewhere.load(file)
    assert caught.value.line == 3


def test_a_part_that_this_version_does_not_know_is_checked_and_left_out(full, file, elsewhere):
    full.dump(file)
    parts = unpacked(file)
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"].append(
        {"path": "adapters/a/adapter_config.json", "kind": "adapter", "size": 0, "sha256": ""}
    )
    parts |= {"manifest.json": json.dumps(manifest).encode(), "adapters/a/adapter_config.json": b"{}"}
    packed(file, retold(parts))
    assert elsewhere.load(file).added > 0
    parts["adapters/a/adapter_config.json"] = b"[]"
    packed(
        file,
        {
            **retold({**parts, "adapters/a/adapter_config.json": b"{}"}),
            "adapters/a/adapter_config.json": b"[]",
        },
    )
    with pytest.raises(FormatError, match="changed"):
        elsewhere.load(file, name="again")


def test_a_conflict_names_the_memories(full, file, memos):
    full.dump(file)
    first = full.list()[0]
    full.revise(first.id, "other words")
    with pytest.raises(AlreadyThere) as caught:
        memos.load(file)
    assert caught.value.ids == (first.id,)
