"""Published cubes: versions, subscriptions, updates; and what a store may not do to its subscribers."""

import json
from pathlib import Path

import fsspec
import pytest

from memos_core import (
    AlreadyThere,
    BackendError,
    Forbidden,
    FormatError,
    InvalidInput,
    NotFound,
    SigningKey,
    Store,
    Terms,
)
from memos_core.testing import InMemoryIndex

KEY, OTHER = SigningKey(b"k" * 32), SigningKey(b"o" * 32)


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    if request.param == "folder":
        yield Store(tmp_path / "published")
        return
    yield Store("memory://published")
    files = fsspec.filesystem("memory")
    if files.exists("/published"):
        files.rm("/published", recursive=True)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def reader(open_memos, tmp_path):
    """Somebody else's store."""
    memos = open_memos(tmp_path / "reader", index=InMemoryIndex(dimensions=64))
    return memos.as_principal("bo")


def texts(cube):
    return sorted(memory.text for memory in cube.list())


def test_a_published_cube_is_listed_and_subscribed(cube, store, reader):
    cube.remember("The harbour")
    card = store.publish(cube, terms=Terms(licence="CC0-1.0"), sign=KEY)
    mine = store.subscribe(reader, "notes", verify_key=KEY.public)
    assert [(each.name, each.version, each.licence) for each in store.cubes()] == [("notes", 1, "CC0-1.0")]
    assert store.versions("notes") == [card]
    assert (texts(mine), mine.owner, mine.name) == (["The harbour"], "bo", "notes")
    source = mine.imports()[0]
    assert (source.place, source.version, source.digest, source.signer) == (
        store.url,
        1,
        card.digest,
        KEY.public,
    )


def test_an_empty_store_has_nothing(store, reader):
    assert store.cubes() == []
    with pytest.raises(NotFound):
        store.subscribe(reader, "notes")
    with pytest.raises(NotFound):
        store.versions("notes")


def test_an_update_brings_what_changed_and_only_when_it_is_newer(cube, store, reader):
    first, second, third = (cube.remember(f"statement {n}") for n in "abc")
    store.publish(cube)
    mine = store.subscribe(reader, "notes")
    assert store.update(mine) is None
    cube.revise(first.id, "statement A")
    cube.forget(second.id)
    cube.remember("statement d")
    store.publish(cube)
    done = store.update(mine)
    assert texts(mine) == ["statement A", "statement c", "statement d"]
    assert (done.replaced, done.withdrawn, done.added, done.same) == (1, 1, 1, 1)
    assert [each.version for each in mine.imports()] == [1, 2]
    assert store.update(mine) is None
    assert third.id in {memory.id for memory in mine.list()}


def test_what_a_subscriber_wrote_stays_and_what_both_changed_is_a_conflict(cube, store, reader):
    shared, gone = cube.remember("shared"), cube.remember("gone there")
    store.publish(cube)
    mine = store.subscribe(reader, "notes")
    own = mine.remember("my own")
    mine.revise(shared.id, "changed here")
    mine.revise(gone.id, "kept here")
    cube.revise(shared.id, "changed there")
    cube.forget(gone.id)
    store.publish(cube)
    before = texts(mine)
    with pytest.raises(AlreadyThere) as caught:
        store.update(mine)
    assert (caught.value.ids, texts(mine)) == ((shared.id,), before)
    store.update(mine, on_conflict="skip")
    assert texts(mine) == ["changed here", "kept here", "my own"]
    cube.revise(shared.id, "changed there again")
    store.publish(cube)
    store.update(mine, on_conflict="replace")
    assert texts(mine) == ["changed there again", "kept here", "my own"]
    assert mine.get(own.id).text == "my own"


def test_a_subscription_in_the_same_store_follows_too(cube, memos, store):
    first = cube.remember("The harbour")
    store.publish(cube)
    mine = store.subscribe(memos, "notes", cube="copy")
    cube.revise(first.id, "The old harbour")
    store.publish(cube)
    done = store.update(mine)
    assert (texts(mine), done.replaced, done.withdrawn) == (["The old harbour"], 1, 0)
    assert texts(cube) == ["The old harbour"]


def test_an_older_version_can_be_asked_for(cube, store, reader):
    cube.remember("first")
    store.publish(cube, version=3)
    cube.remember("second")
    store.publish(cube, version=8)
    mine = store.subscribe(reader, "notes", version=3)
    assert texts(mine) == ["first"]
    with pytest.raises(NotFound):
        store.subscribe(reader, "notes", version=4, cube="another")
    with pytest.raises(InvalidInput, match="version 8"):
        store.publish(cube, version=8)


def test_it_takes_the_right_to_share_and_is_noted(memos, store):
    ana = memos.as_principal("ana").cube("notes")
    ana.remember("for Ana alone")
    ana.remember("for all of us", visibility="shared")
    ana.grant("bo", "read")
    bo = memos.as_principal("bo").cube("notes", owner="ana")
    with pytest.raises(Forbidden):
        store.publish(bo)
    assert store.cubes() == []
    ana.grant("bo", "share")
    store.publish(bo)
    lines = memos.as_principal("ana").audit()
    assert [(line.principal, line.detail) for line in lines if line.verb == "publish"] == [
        ("bo", store.versions("notes")[0].digest)
    ]
    copy = store.subscribe(memos, "notes", cube="copy")
    assert texts(copy) == ["for all of us"]


def test_who_may_only_read_a_subscribed_cube_does_not_update_it(cube, store, reader):
    cube.remember("first", visibility="shared")
    store.publish(cube)
    mine = store.subscribe(reader, "notes")
    mine.grant("eve", "read")
    cube.remember("second")
    store.publish(cube)
    with pytest.raises(Forbidden):
        store.update(reader.as_principal("eve").cube("notes", owner="bo"))
    mine.grant("eve", "write")
    assert store.update(reader.as_principal("eve").cube("notes", owner="bo")).added == 1


def test_terms_say_who_may_load_it(cube, store, reader):
    cube.remember("first")
    store.publish(cube, terms=Terms(audience=["ana"]))
    with pytest.raises(Forbidden, match="ana"):
        store.subscribe(reader, "notes")
    assert texts(store.subscribe(reader.as_principal("ana"), "notes")) == ["first"]


def test_an_update_has_to_be_of_the_first_signer(cube, store, reader):
    first = cube.remember("first")
    store.publish(cube, sign=KEY)
    mine = store.subscribe(reader, "notes")
    cube.revise(first.id, "second")
    store.publish(cube, sign=OTHER)
    with pytest.raises(FormatError, match="signed by"):
        store.update(mine)
    assert texts(mine) == ["first"]
    assert store.update(mine, verify_key=OTHER.public).replaced == 1


def test_a_sealed_publication_asks_for_its_passphrase(cube, store, reader):
    cube.remember("first")
    store.publish(cube, passphrase="a word")
    with pytest.raises(InvalidInput, match="passphrase"):
        store.subscribe(reader, "notes")
    assert texts(store.subscribe(reader, "notes", passphrase="a word")) == ["first"]


def test_a_cube_that_is_not_subscribed_here_is_told(cube, store):
    with pytest.raises(NotFound, match="subscription"):
        store.update(cube)


@pytest.mark.parametrize("name", ["a/b", "..", ".", "../up", "a b", "ümlaut", "C:\\x", "*?[", "%2E", "~"])
def test_no_name_leads_out_of_the_store(cube, place, reader, name):
    cube.remember("first")
    store = Store(place)
    store.publish(cube, name=name)
    assert {path.parent.parent for path in place.parent.rglob("*.memcube")} == {place}
    assert [card.name for card in store.cubes()] == [name]
    assert texts(store.subscribe(reader, name)) == ["first"]


def test_a_name_that_no_folder_can_have_is_refused(cube, store):
    with pytest.raises(InvalidInput, match="too long"):
        store.publish(cube, name="x" * 300)


# --- a store that lies -----------------------------------------------------------------------


def only(place: Path, pattern: str) -> Path:
    return next(iter(place.rglob(pattern)))


def card_with(**facts):
    def change(place):
        path = only(place, "*.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return change


def flipped(place):
    path = only(place, "*.memcube")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def longer(place):
    path = only(place, "*.memcube")
    path.write_bytes(path.read_bytes() + b"x" * 10)


LIES = {
    "a changed file": flipped,
    "a longer file": longer,
    "a shorter file": lambda place: only(place, "*.memcube").write_bytes(b"PK"),
    "another version": card_with(version=7),
    "a digest of something else": card_with(digest="ab" * 32),
    "a hash of something else": card_with(sha256="ab" * 32),
    "a size of something else": card_with(size=5),
    "a size below nothing": card_with(size=-5),
    "no time": card_with(made_at=None),
    "no JSON": lambda place: only(place, "*.json").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_store_that_lies_is_not_believed(cube, place, reader, what):
    cube.remember("first")
    store = Store(place)
    store.publish(cube)
    LIES[what](place)
    with pytest.raises(FormatError):
        store.subscribe(reader, "notes")
    assert reader.cubes() == []


def test_a_file_that_is_gone_is_told(cube, place, reader):
    cube.remember("first")
    store = Store(place)
    store.publish(cube)
    only(place, "*.memcube").unlink()
    with pytest.raises(NotFound):
        store.subscribe(reader, "notes")


def test_an_old_version_under_a_new_number_is_refused(cube, place, reader):
    cube.remember("first")
    store = Store(place)
    store.publish(cube)
    mine = store.subscribe(reader, "notes")
    file, card = only(place, "*.memcube"), only(place, "*.json")
    file.with_name("00000002.memcube").write_bytes(file.read_bytes())
    told = json.loads(card.read_text()) | {"version": 2}
    card.with_name("00000002.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="not what was asked for"):
        store.update(mine)


@pytest.mark.parametrize("url", ["", None, 5, b"x"])
def test_a_store_has_a_place(url):
    with pytest.raises(InvalidInput):
        Store(url)


def test_a_place_that_cannot_be_reached_is_told(cube, tmp_path):
    with pytest.raises(BackendError):
        Store("nosuchprotocol://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError):
        Store(tmp_path / "file").publish(cube)


def test_secrets_in_a_url_are_not_written_down():
    assert "word" not in repr(Store("memory://user:word@host/x?key=word"))
