import stat
import sys

import pytest

from memos_core import BackendError, FormatError, InvalidInput, NotFound, SigningKey, inspected
from tests.unit.interchange.archives import packed, unpacked, with_manifest
from tests.unit.interchange.conftest import told

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
WORD = "correct horse"


def test_a_signed_file_is_loaded_by_who_knows_the_key(full, file, elsewhere):
    dump = full.dump(file, sign=KEY)
    load = elsewhere.load(file, verify_key=KEY.public)
    assert (load.manifest.signer, dump.manifest.signer) == (KEY.public, KEY.public)
    assert elsewhere.cube("notes").imports()[0].signer == KEY.public


@pytest.mark.parametrize("signed", [None, OTHER], ids=["by nobody", "by another"])
def test_what_the_key_did_not_sign_is_refused(full, file, elsewhere, signed):
    full.dump(file, sign=signed)
    with pytest.raises(FormatError, match="get it from its author"):
        elsewhere.load(file, verify_key=KEY.public)


def test_a_manifest_changed_after_it_was_signed_is_refused(full, file, elsewhere):
    full.dump(file, sign=KEY)
    with_manifest(file, lambda manifest: manifest["cube"].update(owner="eve"))
    for given in ({}, {"verify_key": KEY.public}):
        with pytest.raises(FormatError, match="changed after it was signed"):
            elsewhere.load(file, **given)


def test_a_signature_by_another_key_is_refused(full, file, elsewhere):
    full.dump(file, sign=KEY)
    parts = unpacked(file)
    packed(file, {**parts, "manifest.sig": OTHER.signature(parts["manifest.json"])})
    with pytest.raises(FormatError, match="does not fit"):
        elsewhere.load(file)


def test_a_signature_that_was_taken_off_is_missed(full, file, elsewhere):
    full.dump(file, sign=KEY)
    parts = unpacked(file)
    del parts["manifest.sig"]
    packed(file, parts)
    with pytest.raises(FormatError, match="signature"):
        elsewhere.load(file)


def test_a_key_is_kept_in_a_file_for_its_owner_alone(tmp_path):
    key, path = SigningKey.new(), tmp_path / "key"
    key.save(path)
    assert (SigningKey.read(path), stat.S_IMODE(path.stat().st_mode)) == (key, 0o600)
    assert key.secret.hex() not in repr(key)
    with pytest.raises(InvalidInput, match="never written over"):
        key.save(path)
    path.write_text("memcube-signing-key/1 abc\n")
    with pytest.raises(FormatError, match="damaged"):
        SigningKey.read(path)
    with pytest.raises(NotFound):
        SigningKey.read(tmp_path / "none")
    with pytest.raises(InvalidInput):
        SigningKey(b"short")


@pytest.mark.parametrize("key", ["", "xyz", "AB" * 32, KEY.public[:-1], 5])
def test_a_verify_key_is_64_digits(full, file, elsewhere, key):
    full.dump(file)
    with pytest.raises(InvalidInput, match="64"):
        elsewhere.load(file, verify_key=key)


# --- sealed ----------------------------------------------------------------------------------


def test_a_sealed_file_says_nothing_and_is_equal_when_opened(full, file, elsewhere):
    full.dump(file, sign=KEY, passphrase=WORD)
    data = file.read_bytes()
    assert not [word for word in (b"Lisbon", b"manifest", b"PK\3\4", b"notes") if word in data]
    elsewhere.load(file, passphrase=WORD, verify_key=KEY.public)
    assert told(elsewhere.cube("notes")) == told(full)


def test_a_passphrase_is_the_same_in_any_form(full, file):
    full.dump(file, passphrase="cafe\u0301")
    assert inspected(file, passphrase="café").name == "notes"


def test_a_sealed_file_asks_for_its_passphrase(full, file, elsewhere):
    full.dump(file, passphrase=WORD)
    with pytest.raises(InvalidInput, match="give its passphrase"):
        elsewhere.load(file)
    with pytest.raises(FormatError, match="the passphrase is wrong"):
        elsewhere.load(file, passphrase="another")


@pytest.mark.parametrize("where", [0.0, 0.004, 0.3, 0.9, 0.9999])
def test_any_byte_that_was_changed_is_found(cube, file, where):
    cube.remember("word " * 40_000)  # several chunks
    cube.dump(file, passphrase=WORD)
    data = bytearray(file.read_bytes())
    data[int(len(data) * where)] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError):
        inspected(file, passphrase=WORD)


@pytest.mark.parametrize("length", [20, 200, 300, 65_536 + 300, -16, -1])
def test_a_sealed_file_that_was_cut_is_refused(cube, file, length):
    cube.remember("".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(100_000)))
    cube.dump(file, passphrase=WORD)
    data = file.read_bytes()
    assert len(data) > 65_536 * 2
    file.write_bytes(data[:length])
    with pytest.raises(FormatError):
        inspected(file, passphrase=WORD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"n": 32768', b'"n": 1073741824'),
        (b'"n": 32768', b'"n": 32767'),
        (b'"r": 8', b'"r": 9999'),
        (b'"p": 1', b'"p": 99'),
        (b'"chunk": 65536', b'"chunk": 1'),
        (b'"chunk": 65536', b'"chunk": true'),
        (b"AES-256-GCM", b"ROT13"),
        (b"scrypt", b"md5"),
        (b'"nonce": "', b'"nonce": "00'),
        (b"{", b"["),
    ],
)
def test_a_seal_that_asks_for_too_much_or_something_else_is_refused(full, file, old, new):
    full.dump(file, passphrase=WORD)
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.raises(FormatError):
        inspected(file, passphrase=WORD)


def test_chunks_that_were_swapped_are_refused(cube, file):
    cube.remember("".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(100_000)))
    cube.dump(file, passphrase=WORD)
    data = file.read_bytes()
    start = data.index(b"\n", 20) + 1
    one, two = data[start : start + 65_552], data[start + 65_552 : start + 131_104]
    file.write_bytes(data[:start] + two + one + data[start + 131_104 :])
    with pytest.raises(FormatError):
        inspected(file, passphrase=WORD)


def test_without_the_library_the_error_names_the_extra(full, file, monkeypatch):
    full.dump(file, sign=KEY)
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    for act in (
        lambda: inspected(file),
        lambda: full.dump(file, passphrase=WORD, overwrite=True),
        SigningKey.new,
    ):
        with pytest.raises(BackendError, match=r"memos-suite-core\[interchange\]"):
            act()
    assert file.exists()
