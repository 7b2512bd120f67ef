"""What is ingested is kept verbatim first; a model reads it later, as a job, once."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_core import (
    Extracted,
    InvalidInput,
    JobState,
    Message,
    Relation,
    Settings,
    Where,
)
from memos_core.errors import BackendError, BackendUnavailable
from memos_core.memory import STATEMENT

MAY = datetime(2024, 5, 3, 10, tzinfo=UTC)


class Reader:
    """States "It was said: ..." of each passage; notes what it was shown, and fails as planned."""

    identity = "extractor:reader-1"

    def __init__(self):
        self.shown, self.context, self.plan = [], [], []

    def extract(self, passages, *, context=()):
        self.shown.append([each.text for each in passages])
        self.context.append([each.text for each in context])
        if self.plan and (step := self.plan.pop(0)) is not None:
            if isinstance(step, Exception):
                raise step
            return step(passages)
        return [Extracted(text=f"It was said: {each.text}", found_in=(each.id,)) for each in passages]


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def memos(open_memos, reader):
    return open_memos(extractor=reader)


@pytest.fixture
def work(memos):
    worker = memos.worker()
    yield worker.run_until_idle
    worker.close()


def extracted(cube):
    return [memory for memory in cube.list() if memory.header.descriptive.origin == "extracted"]


def test_the_turn_is_there_before_any_model_reads_it(cube, memos, reader):
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    assert [memory.text for memory in cube.list()] == ["I moved to Lisbon."]
    assert ([job.kind for job in memos.jobs.list(state="waiting")], reader.shown) == (["extract"], [])


def test_an_exchange_that_is_told_in_two_parts_is_read_as_one(cube, work, reader, clock):
    asked, answered = Message("Ana", "Is it far?", id="1"), Message("Ben", "Two miles.", id="2")
    cube.ingest([asked], session="s", more=True)
    assert (work(), reader.shown) == (0, [])
    assert [each.text for each in cube.ingest([answered], session="s", after=[asked])] == ["Two miles."]
    assert (work(), reader.shown) == (1, [["Is it far?", "Two miles."]])
    clock.move(minutes=11)
    assert (work(), len(reader.shown)) == (1, 1)  # the order of the first part finds it read


@pytest.mark.parametrize("session", ["s", None])
def test_an_exchange_that_goes_on_no_more_is_read_in_the_end(cube, work, reader, clock, session):
    cube.ingest([Message("Ana", "Is it far?", id="1")], session=session, more=True)
    clock.move(minutes=9)
    assert (work(), reader.shown) == (0, [])
    clock.move(minutes=2)
    assert (work(), reader.shown) == (1, [["Is it far?"]])


def test_what_was_forgotten_of_an_exchange_is_neither_kept_again_nor_read(cube, work, reader):
    asked, answered = Message("Ana", "Is it far?", id="1"), Message("Ben", "Two miles.", id="2")
    cube.forget(cube.ingest([asked], session="s", more=True)[0].id)
    cube.ingest([answered], session="s", after=[asked])
    assert (work(), reader.shown) == (1, [["Two miles."]])
    assert [each.text for each in cube.list(where=Where(sessions=("s",)))] == ["Two miles."]


def test_what_is_extracted_names_its_source_and_its_maker(cube, work):
    (turn,) = cube.ingest([Message("Ana", "I moved to Lisbon.", at=MAY)], session="s")
    assert work() == 1
    (fact,) = extracted(cube)
    line = cube.lineage(fact.id)
    assert (fact.text, fact.at, fact.kind) == ("It was said: I moved to Lisbon.", MAY, "fact")
    assert (line.made_by, line.written_by) == ("extractor:reader-1", "local")
    assert [(kin.memory.id, kin.relation) for kin in line.ancestors] == [(turn.id, Relation.DERIVED_FROM)]


def test_without_an_extractor_nothing_is_ordered(open_memos):
    plain = open_memos(extractor=None)
    plain.cube("notes").ingest([Message("Ana", "Hello")])
    assert (list(plain.jobs.list()), "extract" in plain.worker().kinds) == ([], False)


def test_a_statement_is_no_message_and_is_not_read(cube, work, memos):
    cube.remember("Ana lives in Lisbon.")
    assert (list(memos.jobs.list()), work()) == ([], 0)


def test_what_is_told_again_is_not_read_again(cube, work, reader):
    told = [Message("Ana", "I moved to Lisbon.", at=MAY)]
    for _ in range(3):
        cube.ingest(told, session="s")
        work()
    assert reader.shown == [["I moved to Lisbon."]]


def test_the_same_job_run_again_has_the_same_effect_once(cube, work, memos, reader):
    cube.ingest([Message("Ana", "One"), Message("Bo", "Two")], session="s")
    work()
    before = [memory.id for memory in cube.list()]
    memos.jobs.submit("extract", cube=cube)
    assert (work(), [memory.id for memory in cube.list()], len(reader.shown)) == (1, before, 1)


def test_an_edited_message_is_read_in_its_new_version(cube, work, reader):
    for text in ("I moved to Lisbon.", "I moved to Porto."):
        cube.ingest([Message("Ana", text, id="m1")], session="s")
        work()
    assert reader.shown == [["I moved to Lisbon."], ["I moved to Porto."]]


def test_a_message_edited_before_it_was_read_is_read_once_as_it_is(cube, work, reader):
    for text in ("I moved to Lisbon.", "I moved to Porto."):
        cube.ingest([Message("Ana", text, id="m1")], session="s")
    work()
    assert reader.shown == [["I moved to Porto."]]


def test_what_was_edited_while_it_was_read_is_not_stated(cube, work, reader):
    def meanwhile(passages):
        cube.revise(passages[0].id, "I moved to Porto.")
        return [Extracted(text="Ana lives in Lisbon", found_in=(passages[0].id,))]

    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    reader.plan = [meanwhile]
    work()
    assert extracted(cube) == []


def test_what_was_forgotten_while_it_was_read_is_not_stated(cube, work, reader, memos, catalog_rows):
    def meanwhile(passages):
        cube.forget(passages[0].id)
        return [Extracted(text="Ana lives in Lisbon", found_in=(passages[0].id,))]

    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    reader.plan = [meanwhile]
    work()
    rows = catalog_rows(memos)
    assert (list(cube.list()), rows["jobs"], rows["extractions"]) == ([], [], [])


def test_a_model_that_fails_loses_nothing_and_is_asked_again(cube, memos, clock, reader, work):
    reader.plan = [BackendUnavailable("down"), BackendError("no statements")]
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    for _ in range(3):
        work()
        clock.move(minutes=11)
    assert (len(cube.list()), memos.jobs.list()[0].state) == (2, JobState.DONE)


def test_what_stood_before_in_the_session_is_shown_as_context(cube, work, reader):
    cube.ingest([Message("Ana", f"turn {n}") for n in range(10)], session="s")
    cube.ingest([Message("Ana", "elsewhere")], session="other")
    work()
    cube.ingest([Message("Ana", "the last")], session="s")
    work()
    assert reader.context[-1] == [f"turn {n}" for n in range(4, 10)]


def test_many_messages_are_read_in_parts(cube, work, reader):
    cube.ingest([Message("Ana", f"turn {n}") for n in range(40)], session="s")
    assert (work(), [len(part) for part in reader.shown]) == (3, [16, 16, 8])


def test_what_was_ingested_before_there_was_an_extractor_can_be_read_later(open_memos, folder, reader):
    with open_memos() as plain:
        plain.cube("notes").ingest([Message("Ana", f"turn {n}") for n in range(20)], session="s")
        plain.cube("notes").remember("a statement")
    memos = open_memos(extractor=reader)
    memos.jobs.submit("extract", cube=memos.cube("notes"))
    memos.worker().run_until_idle()
    assert ([len(part) for part in reader.shown], len(extracted(memos.cube("notes")))) == ([16, 4], 20)


def test_what_is_stated_is_trusted_shown_and_kept_no_further_than_its_sources(memos, work, reader, clock):
    cube = memos.cube("notes")
    cube.limit(ttl=timedelta(days=3))
    first = cube.ingest([Message("Ana", "from a page")], session="s", trust="untrusted")[0]
    cube.limit(ttl=None)
    second = cube.ingest([Message("Ana", "secret")], session="s", visibility="shared")[0]
    cube.classify(second.id, sensitivity=7)
    reader.plan = [None, lambda seen: [Extracted(text="both", found_in=(seen[0].id,))]]
    work()
    by_text = {memory.text: memory.header.governance for memory in extracted(cube)}
    page, both = by_text["It was said: from a page"], by_text["both"]
    assert (page.trust, page.expires_at, page.visibility) == (
        "untrusted",
        first.header.governance.expires_at,
        "private",
    )
    assert page.expires_at is not None
    assert (both.trust, both.visibility, both.sensitivity) == ("trusted", "shared", 7)


def test_whoever_may_no_longer_write_gets_nothing_written(memos, work):
    ana = memos.as_principal("ana").cube("notes")
    ana.grant("bo", "write")
    memos.as_principal("bo").cube("notes", owner="ana").ingest([Message("Bo", "Hello there")])
    ana.revoke("bo")
    work()
    (job,) = memos.as_principal("ana").jobs.list(cube=ana)
    assert (job.state, job.error.split(":")[0]) == (JobState.DEAD, "NotFound")


def test_a_cube_limited_to_a_purpose_is_read_for_that_purpose(memos, work):
    cube = memos.cube("notes")
    cube.limit(purposes=("care",))
    caring = memos.as_principal("local", purpose="care").cube("notes")
    caring.ingest([Message("Ana", "Hello there")])
    work()
    assert len(extracted(caring)) == 1


def test_what_a_model_says_that_cannot_be_kept_is_left_out(cube, work, reader):
    def strange(passages):
        (one,) = passages
        return [
            Extracted(text="   ", found_in=(one.id,)),
            Extracted(text="of nobody", found_in=("nobody",)),
            Extracted(text="naive", found_in=(one.id,), at=datetime(2024, 1, 1)),
            Extracted(text="twice", found_in=(one.id,)),
            Extracted(text="twice", found_in=(one.id, one.id)),
        ]

    reader.plan = [strange]
    cube.ingest([Message("Ana", "Hello")], session="s")
    work()
    assert [memory.text for memory in extracted(cube)] == ["twice"]


def test_what_is_known_already_gets_another_source(cube, work, reader):
    known = cube.remember("Ana lives in Lisbon", at=MAY)
    reader.plan = [lambda seen: [Extracted(text="Ana lives in Lisbon", found_in=(seen[0].id,))]]
    (turn,) = cube.ingest([Message("Ana", "I moved to Lisbon", at=MAY)], session="s")
    work()
    assert (len(cube.list()), len(cube.sources(known.id)), cube.get(known.id).header.descriptive.made_by) == (
        2,
        2,
        STATEMENT,
    )
    assert [kin.memory.id for kin in cube.lineage(known.id).ancestors] == [turn.id]


def test_a_frozen_statement_is_left_as_it_is(cube, work, reader):
    known = cube.remember("Ana lives in Lisbon", at=MAY)
    cube.freeze(known.id)
    reader.plan = [lambda seen: [Extracted(text="Ana lives in Lisbon", found_in=(seen[0].id,))]]
    cube.ingest([Message("Ana", "I moved to Lisbon", at=MAY)], session="s")
    work()
    assert (len(cube.list()), len(cube.sources(known.id))) == (2, 1)


def test_masked_words_do_not_come_back_by_way_of_the_model(open_memos, reader):
    memos = open_memos(extractor=reader, redaction="mask")
    cube = memos.cube("notes")
    reader.plan = [lambda seen: [Extracted(text="Write to ana@example.org", found_in=(seen[0].id,))]]
    cube.ingest([Message("Ana", "Write to me")], session="s")
    memos.worker().run_until_idle()
    assert "ana@example.org" not in extracted(cube)[0].text


def test_forgetting_a_cube_takes_its_jobs_along(cube, memos, catalog_rows, reader):
    reader.plan = [BackendUnavailable("quoting: I moved to Lisbon.")]
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    memos.worker().run_until_idle()
    memos.jobs.schedule("nightly", "0 3 * * *", "extract", cube=cube)
    receipt = memos.forget_cube("notes")
    rows = catalog_rows(memos)
    assert (rows["jobs"], rows["job_memories"], rows["schedules"]) == ([], [], [])
    assert receipt.erased["jobs"] >= 1
    assert memos.verify_erasure(receipt).ok


def test_forgetting_a_memory_takes_what_a_failure_quoted_of_it_along(cube, memos, catalog_rows, reader):
    reader.plan = [BackendUnavailable("quoting: I moved to Lisbon.")]
    first, _ = cube.ingest([Message("Ana", "I moved to Lisbon."), Message("Bo", "Nice")], session="s")
    memos.worker().run_until_idle()
    receipt = cube.forget(first.id)
    (job,) = memos.jobs.list()
    assert (job.error, job.trace, len(catalog_rows(memos)["job_memories"])) == (None, None, 1)
    assert memos.verify_erasure(receipt, words=["quoting: I moved to Lisbon."]).ok


def test_no_job_holds_a_word(cube, memos, catalog_rows):
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    assert "Lisbon" not in str(catalog_rows(memos)["jobs"])


def test_a_second_extractor_is_refused_and_the_same_is_welcome(memos, reader):
    memos.extract_with(Reader())
    other = Reader()
    other.identity = "extractor:other"
    with pytest.raises(InvalidInput, match="reader-1"):
        memos.extract_with(other)


@pytest.mark.parametrize("what", [None, 3, "gpt", object()])
def test_what_is_no_extractor_is_refused(open_memos, what):
    memos = open_memos()
    with pytest.raises(InvalidInput):
        memos.extract_with(what)


def test_a_store_with_an_extractor_cannot_be_written_down(memos):
    with pytest.raises(InvalidInput, match="extractor"):
        assert isinstance(memos.settings, Settings)


def test_what_is_extracted_is_found(cube, work):
    cube.ingest([Message("Ana", "I moved to Lisbon.")], session="s")
    work()
    assert {hit.memory.kind for hit in cube.recall("Lisbon", where=Where(kinds=("fact",)))} == {"fact"}
