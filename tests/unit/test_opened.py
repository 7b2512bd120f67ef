"""A store that is open in this process is found by its folder; what is in a cube has a stamp."""

import pytest

from memos_core import Closed, InvalidInput, MemOS, NotFound


def test_an_open_store_is_found_by_its_folder_and_seen_as_whoever_asks(memos, folder):
    memos.as_principal("ana").cube("notes").remember("the well is dry")
    assert MemOS.opened(folder, principal="ana").cube("notes", create=False).count() == 1
    assert MemOS.opened(str(folder)).principal == memos.principal


def test_a_folder_has_many_names_and_one_store(memos, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    link = folder.parent / "link"
    link.symlink_to(folder)
    found = [MemOS.opened(name).folder for name in (folder.name, link, folder / ".." / folder.name)]
    assert found == [memos.folder] * 3 == [folder.resolve()] * 3


def test_a_store_that_nobody_has_open_is_not_found(memos, folder, tmp_path):
    with pytest.raises(NotFound):
        MemOS.opened(tmp_path / "nowhere")
    memos.close()
    with pytest.raises(NotFound):
        MemOS.opened(folder)
    assert not (tmp_path / "nowhere").exists()


def test_a_store_that_is_opened_again_is_found_again_and_the_old_handle_stays_closed(open_memos, folder):
    first = open_memos()
    first.close()
    second = open_memos()
    second.cube("notes").remember("a word")
    assert MemOS.opened(folder).cube("notes").count() == 1
    with pytest.raises(Closed):
        first.cube("notes")


def test_a_stamp_is_equal_as_long_as_the_contents_are(memos):
    stamps = [memos.cube("notes").stamp]
    memory = memos.cube("notes").remember("a word")
    stamps.append(memos.cube("notes").stamp)
    memos.cube("notes").recall("word")
    memos.cube("other").remember("elsewhere")
    assert memos.cube("notes").stamp == stamps[-1]
    memos.cube("notes").forget(memory.id)
    stamps.append(memos.cube("notes").stamp)
    assert len(set(stamps)) == 3


def test_who_may_see_more_has_another_stamp(memos):
    ana = memos.as_principal("ana").cube("notes")
    ana.remember("between us", visibility="shared")
    ana.grant("bo", "read")
    before = memos.as_principal("bo").cube("notes", owner="ana").stamp
    ana.grant("bo", "admin")
    assert memos.as_principal("bo").cube("notes", owner="ana").stamp != before


@pytest.mark.parametrize("folder", [None, 5, b"store", "sto\0re"])
def test_what_is_no_path_is_refused(folder):
    with pytest.raises(InvalidInput):
        MemOS.opened(folder)
