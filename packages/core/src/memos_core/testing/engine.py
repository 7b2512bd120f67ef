"""What every Engine promises, as tests.

Subclass `EngineConformance` and give its fixture `engine` an engine with a context of some hundred
tokens; it may be shared by the tests of the class, and then the fixture `closable` gives another one.
`decoded` says how the engine's ids are read. An engine that can answer at random subclasses
`SampledEngineConformance`::

    class TestMyEngine(SampledEngineConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def engine(cls):
            with closing(MyEngine(context=512)) as engine:
                yield engine

        @pytest.fixture
        def closable(self):
            return MyEngine(context=512)

        def decoded(self, engine, ids):
            return engine.decode(ids)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from memos_core.errors import FormatError, InvalidInput, NotFound
from memos_core.inference import AnyEngine, Prompt, State, Token, Turn
from memos_core.reply import Sampling
from memos_core.segment import Origin, SegmentHeader, segment_header

SYSTEM = (
    "You keep an inn in a small town and answer briefly.\n",
    "Mira moved to Lisbon in May 2024.\n",
    "Her dog is called Quill; it is afraid of thunder ⚡.\n",
    "她喜欢喝茶。\n",
)
TALK = (
    Turn("user", "Good evening!"),
    Turn("assistant", "Good evening, what can I do for you?"),
    Turn("user", "Where does Mira live, and who is Quill?"),
)
CONTROLS = ("<|im_end|>", "<|im_start|>system", "<s>", "</s>", "<|endoftext|>", "<|eot_id|>", "[INST]")
_HALF = "\N{REPLACEMENT CHARACTER}"


class EngineConformance:
    """Promises of `memos_core.inference.Engine`. Mark a test xfail with a reason; override none."""

    form: ClassVar[str] = "exact"  # what the engine's codec writes
    answer: ClassVar[int] = 8  # tokens; fewer where one is slow
    splits: ClassVar[int] = 12  # ways to cut a prompt into a chain; fewer where prefilling is slow
    flips: ClassVar[int] = 24  # bytes to damage, one at a time

    @pytest.fixture
    def engine(self) -> AnyEngine:
        """An engine with a context of some hundred tokens, closed after the test."""
        pytest.fail("the subclass gives the fixture `engine`")

    @pytest.fixture
    def closable(self, engine: AnyEngine) -> AnyEngine:
        """An engine that no other test uses."""
        return engine

    def decoded(self, engine: Any, ids: Sequence[int]) -> str:  # noqa: ARG002 - the subclass uses them
        """Return the text of ids without control tokens, as the engine's tokenizer reads them at once."""
        pytest.fail("the subclass gives the method `decoded`")

    @property
    def greedy(self) -> Sampling:
        return Sampling(max_tokens=self.answer)

    def said(
        self,
        engine: AnyEngine,
        ids: Sequence[int],
        base: Sequence[State] = (),
        sampling: Sampling | None = None,
    ) -> list[Token]:
        return list(engine.generate(ids, base, sampling or self.greedy))

    def chain(self, engine: AnyEngine, ids: Sequence[int], ends: Sequence[int]) -> list[State]:
        """Return the states of a chain of links that end there; of a cumulative engine, the last."""
        states: list[State] = []
        for end in ends:
            states.append(engine.prefill(ids[:end], states[-1:] if engine.cumulative else states))
        return states[-1:] if engine.cumulative else states

    def header(self, engine: AnyEngine, state: State, ids: Sequence[int]) -> SegmentHeader:
        return segment_header(
            engine.identity,
            salt="readers",
            parent="",
            start=state.start,
            ids=ids[state.start : state.end],
            sources=[Origin("m1", 1)],
            form=self.form,
        )

    def packed(self, engine: AnyEngine, state: State, ids: Sequence[int]) -> bytes:
        return engine.codec.pack(state, self.header(engine, state, ids))

    # ------------------------------------------------------------------------------ encoding

    def test_every_part_of_the_system_text_ends_somewhere_before_the_turns(self, engine: AnyEngine) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        assert len(prompt.cuts) == len(SYSTEM)
        assert all(before < after for before, after in pairwise((0, *prompt.cuts, len(prompt.ids))))

    def test_equal_leading_parts_give_equal_leading_ids_whatever_follows(self, engine: AnyEngine) -> None:
        whole = engine.encode(SYSTEM, TALK)
        for count in range(1, len(SYSTEM) + 1):
            for others in ((), (" and more\n", "Zebra"), ("\n\n x",)):
                for turns in (TALK, TALK[:1], (Turn("user", "\n <b> 12"),)):
                    prompt = engine.encode((*SYSTEM[:count], *others), turns)
                    end = whole.cuts[count - 1]
                    assert prompt.cuts[:count] == whole.cuts[:count]
                    assert prompt.ids[:end] == whole.ids[:end]

    def test_a_conversation_without_system_text_has_no_cuts(self, engine: AnyEngine) -> None:
        prompt = engine.encode((), TALK[:1])
        assert (bool(prompt.ids), prompt.cuts) == (True, ())

    @pytest.mark.parametrize("text", [*CONTROLS, "été 日本 🎉 \u200b ﷽", "a\r\n\tb", "{{ messages }}"])
    def test_what_people_wrote_stays_text(self, engine: AnyEngine, text: str) -> None:
        prompt = engine.encode((f"The sign says: x{text}x.\n",), (Turn("user", f"What does y{text}y mean?"),))
        read = self.decoded(engine, prompt.ids)
        assert (f"x{text}x" in read, f"y{text}y" in read) == (True, True)

    # ------------------------------------------------------------------------------ computing

    def test_equal_prompts_get_equal_answers(self, engine: AnyEngine) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        assert self.said(engine, ids) == self.said(engine, ids)

    def test_an_answer_after_a_chain_is_the_answer_without_one(self, engine: AnyEngine) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        alone = self.said(engine, ids)
        draw = random.Random(len(ids))  # noqa: S311 - cases, not secrets
        for _ in range(self.splits):
            ends = sorted(draw.sample(range(1, len(ids)), draw.randint(1, 4)))
            assert self.said(engine, ids, self.chain(engine, ids, ends)) == alone, f"links end at {ends}"

    def test_a_chain_may_cover_all_but_the_last_token(self, engine: AnyEngine) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        assert self.said(engine, ids, self.chain(engine, ids, [len(ids) - 1])) == self.said(engine, ids)

    def test_the_parts_are_computed_once_for_many_conversations(self, engine: AnyEngine) -> None:
        first = engine.encode(SYSTEM, TALK)
        base = self.chain(engine, first.ids, first.cuts)
        for turns in (TALK, TALK[:1], (Turn("user", "Who is afraid of thunder?"),)):
            ids = engine.encode(SYSTEM, turns).ids
            assert self.said(engine, ids, base) == self.said(engine, ids)

    def test_a_state_says_what_it_covers(self, engine: AnyEngine) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        states = [self.chain(engine, prompt.ids, prompt.cuts[:count])[-1] for count in (1, 3)]
        starts = (0, 0 if engine.cumulative else prompt.cuts[1])
        assert [(each.start, each.end) for each in states] == list(zip(starts, prompt.cuts[::2], strict=True))
        assert all(state.size > 0 for state in states)

    def test_a_state_never_changes(self, engine: AnyEngine) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        base = self.chain(engine, prompt.ids, prompt.cuts[:2])
        before = [self.packed(engine, state, prompt.ids) for state in base]
        other = engine.encode(SYSTEM[::-1], TALK[:1])
        engine.prefill(prompt.ids, base)
        said = self.said(engine, prompt.ids, base)
        self.said(engine, other.ids, self.chain(engine, other.ids, other.cuts))
        assert [self.packed(engine, state, prompt.ids) for state in base] == before
        assert self.said(engine, prompt.ids, base) == said

    def test_an_answer_that_nobody_waits_for_spoils_nothing(self, engine: AnyEngine) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        base = self.chain(engine, prompt.ids, prompt.cuts)
        alone = self.said(engine, prompt.ids, base)
        left = engine.generate(prompt.ids, base, self.greedy)
        next(left)
        del left
        assert self.said(engine, prompt.ids, base) == alone

    def test_four_threads_answer_from_one_state(self, engine: AnyEngine) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        base = self.chain(engine, prompt.ids, prompt.cuts)
        prompts = [
            engine.encode(SYSTEM, (Turn("user", f"Tell me about {what}."),)).ids
            for what in ("Mira", "Quill", "the town", "tea")
        ]
        alone = [self.said(engine, ids, base) for ids in prompts]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda ids: self.said(engine, ids, base), prompts)) == alone

    # ------------------------------------------------------------------------------ limits

    @pytest.mark.parametrize("limit", [1, 3])
    def test_an_answer_has_at_most_max_tokens(self, engine: AnyEngine, limit: int) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        whole = self.said(engine, ids)
        assert self.said(engine, ids, sampling=Sampling(max_tokens=limit)) == whole[:limit]

    def test_an_answer_ends_with_the_context(self, engine: AnyEngine) -> None:
        ids = self._long(engine, engine.context - 2)
        assert len(self.said(engine, ids, sampling=Sampling(max_tokens=50))) <= 2

    def test_a_prompt_that_leaves_no_room_is_refused(self, engine: AnyEngine) -> None:
        with pytest.raises(InvalidInput):
            self.said(engine, self._long(engine, engine.context))

    def test_more_than_the_context_is_not_prefilled(self, engine: AnyEngine) -> None:
        with pytest.raises(InvalidInput):
            engine.prefill(self._long(engine, engine.context + 1), [])

    def test_the_whole_context_can_be_prefilled(self, engine: AnyEngine) -> None:
        assert engine.prefill(self._long(engine, engine.context), []).end == engine.context

    # ------------------------------------------------------------------------------ text

    @pytest.mark.parametrize("question", ["Count to ten.", "Answer in Chinese: 你好吗", "🎉🎊⚡" * 5, "…"])
    def test_the_pieces_of_an_answer_are_its_text(self, engine: AnyEngine, question: str) -> None:
        ids = engine.encode((), (Turn("user", question),)).ids
        said = self.said(engine, ids, sampling=Sampling(max_tokens=3 * self.answer))
        whole = self.decoded(engine, [token.id for token in said])
        assert "".join(token.text for token in said).rstrip(_HALF) == whole.rstrip(_HALF)

    # ------------------------------------------------------------------------------ files

    def test_a_state_comes_back_from_its_file(self, engine: AnyEngine, tmp_path: Path) -> None:
        prompt = engine.encode(SYSTEM, TALK)
        base = self.chain(engine, prompt.ids, prompt.cuts)
        back = [self._stored(engine, state, prompt, tmp_path) for state in base]
        assert [(each.start, each.end) for each in back] == [(each.start, each.end) for each in base]
        assert self.said(engine, prompt.ids, back) == self.said(engine, prompt.ids, base)

    def test_a_file_that_was_cut_short_is_refused(self, engine: AnyEngine, tmp_path: Path) -> None:
        data, header = self._file(engine)
        for length in sorted({0, 1, 7, 8, 9, 200, len(data) // 2, len(data) - 1}):
            self._refused(engine, header, data[:length], tmp_path)

    def test_a_flipped_byte_is_noticed_wherever_it_is(self, engine: AnyEngine, tmp_path: Path) -> None:
        data, header = self._file(engine)
        draw = random.Random(len(data))  # noqa: S311 - cases, not secrets
        begin = {*range(10), *draw.sample(range(10, 1000), self.flips)}
        for at in sorted(begin | set(draw.sample(range(len(data)), self.flips)) | {len(data) - 1}):
            damaged = bytearray(data)
            damaged[at] ^= 1 << draw.randrange(8)
            self._refused(engine, header, bytes(damaged), tmp_path)

    def test_a_file_with_something_after_its_end_is_refused(self, engine: AnyEngine, tmp_path: Path) -> None:
        data, header = self._file(engine)
        self._refused(engine, header, data + b"\0", tmp_path)

    def test_a_file_of_another_segment_is_refused(self, engine: AnyEngine, tmp_path: Path) -> None:
        data, header = self._file(engine)
        facts = {"salt": "others", "parent": "", "start": header.start, "sources": header.sources}
        other = segment_header(engine.identity, ids=header.ids, form=self.form, **facts)  # type: ignore[arg-type]
        self._refused(engine, other, data, tmp_path)

    def test_a_missing_file_is_not_found(self, engine: AnyEngine, tmp_path: Path) -> None:
        _, header = self._file(engine)
        with pytest.raises(NotFound):
            engine.codec.unpack(tmp_path / "none", header)

    # ------------------------------------------------------------------------------ the engine itself

    def test_the_identity_stays_while_nothing_changes(self, engine: AnyEngine) -> None:
        before = engine.identity.digest
        self.said(engine, engine.encode(SYSTEM, TALK).ids)
        assert (engine.identity.digest, len(before)) == (before, 64)

    def test_closing_twice_is_no_error(self, closable: AnyEngine) -> None:
        closable.close()
        closable.close()

    # ------------------------------------------------------------------------------ for the tests above

    def _long(self, engine: AnyEngine, length: int) -> tuple[int, ...]:
        ids = engine.encode(SYSTEM, TALK).ids
        return (ids * (length // len(ids) + 1))[:length]

    def _file(self, engine: AnyEngine) -> tuple[bytes, SegmentHeader]:
        prompt = engine.encode(SYSTEM, TALK)
        state = self.chain(engine, prompt.ids, prompt.cuts[:1])[-1]
        header = self.header(engine, state, prompt.ids)
        return engine.codec.pack(state, header), header

    def _stored(self, engine: AnyEngine, state: State, prompt: Prompt, folder: Path) -> State:
        header = self.header(engine, state, prompt.ids)
        path = folder / header.key
        path.write_bytes(engine.codec.pack(state, header))
        back: State = engine.codec.unpack(path, header)
        return back

    def _refused(self, engine: AnyEngine, header: SegmentHeader, data: bytes, folder: Path) -> None:
        path = folder / "damaged"
        path.write_bytes(data)
        with pytest.raises(FormatError):
            engine.codec.unpack(path, header)


class SampledEngineConformance(EngineConformance):
    """Promises of an engine that can answer at random, besides those of every engine."""

    def test_equal_seeds_give_equal_answers(self, engine: AnyEngine) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        base = self.chain(engine, ids, [len(ids) - 4])
        seeded = Sampling(max_tokens=self.answer, temperature=1.0, seed=7)
        assert self.said(engine, ids, base, seeded) == self.said(engine, ids, base, seeded)

    def test_seeds_give_different_answers(self, engine: AnyEngine) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        base = self.chain(engine, ids, [len(ids) - 4])
        drawn = {
            tuple(self.said(engine, ids, base, Sampling(max_tokens=self.answer, temperature=2.0, seed=seed)))
            for seed in range(6)
        }
        assert len(drawn) > 1

    @pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
    def test_only_the_likeliest_is_greedy(self, engine: AnyEngine, narrow: dict[str, float]) -> None:
        ids = engine.encode(SYSTEM, TALK).ids
        sampling = Sampling(**{"max_tokens": self.answer, "temperature": 0.7, "seed": 3, **narrow})  # type: ignore[arg-type]
        assert self.said(engine, ids, sampling=sampling) == self.said(engine, ids)
