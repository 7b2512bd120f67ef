"""What is found in a text and what is not; and that nothing of it reaches the disk, by whatever verb."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_core import BackendError, InvalidInput, Message, Redaction, SecretFound
from memos_core.redaction import checked_redaction, has_iban_sum, has_luhn_sum

MASK = Redaction()
FOUND = {
    "write to mira.s+inn@example.co.uk, please": "write to [email], please",
    "müller@bücher.de and a@b.cd": "[email] and [email]",
    "call +351 912 345 678 now": "call [phone] now",
    "card 4111 1111 1111 1111 exp 12/29": "card [card] exp 12/29",
    "5555-5555-5555-4444, 378282246310005": "[card], [card]",
    "pay to DE89 3704 0044 0532 0130 00 AND CALL": "pay to [iban] AND CALL",
    "GB82WEST12345698765432.": "[iban].",
    "no9386011117947": "[iban]",
    "AKIAIOSFODNN7EXAMPLE": "[key]",
    "token ghp_" + "a1B2" * 9 + " it is": "token [key] it is",
    "sk-proj-" + "x9" * 12: "[key]",
    "Authorization: Bearer " + "abc.DEF-" * 4: "Authorization: Bearer [key]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN": "[key]",
    'password = "correct horse"': 'password = "[key]"',
    "api_key: 0123456789abcdef": "api_key: [key]",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nend": "[key]\nend",
}
NOT_FOUND = (
    "Mira moved to Lisbon in May 2024.",
    "order 4111 1111 1111 1112",  # the sum is wrong
    "1714560000000",  # milliseconds
    "GB82 WEST 1234 5698 7654 33",  # the check digits are wrong
    "XX89370400440532013000",  # no such country
    "@mira said a @ b",
    "version 1.2.3.4, 2024-05-03 18:30",
    "the password is long",
    "a risky-looking-but-harmless-word",
    "git 0123456789abcdef0123456789abcdef01234567",
)


@pytest.mark.parametrize(("text", "masked"), FOUND.items(), ids=range(len(FOUND)))
def test_what_is_found_is_masked_and_nothing_beside_it(text, masked):
    assert MASK.text(text) == masked


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_it_stays(text):
    assert MASK.text(text) == text


def test_numbers_without_a_country_code_need_a_region():
    text = "ring 020 7946 0958"
    assert (MASK.text(text), Redaction(region="GB").text(text)) == (text, "ring [phone]")


def test_patterns_of_ones_own_come_first():
    redaction = Redaction(patterns={"room key": r"RK-\d{4}", "all of it": r"RK-1188 x@y\.zz"})
    assert redaction.text("RK-1188 x@y.zz") == "[room key] [email]"


def test_only_the_kinds_that_are_wanted_are_looked_for():
    assert Redaction(kinds=("card",)).text("a@b.cd 4111111111111111") == "a@b.cd [card]"


def test_refusing_names_the_kinds_and_never_what_was_found():
    with pytest.raises(SecretFound) as caught:
        Redaction(mode="refuse").text("a@b.cd, c@d.ef and 4111111111111111")
    assert (caught.value.kinds, "a@b.cd" in str(caught.value)) == (("email", "card"), False)


def test_off_looks_at_nothing():
    assert checked_redaction(None).text("a@b.cd") == checked_redaction("off").text("a@b.cd") == "a@b.cd"


def test_two_names_that_are_masked_stay_two():
    one, two = MASK.name("a@b.cd"), MASK.name("c@d.ef")
    assert (one != two, one == MASK.name("a@b.cd"), one.startswith("[email ")) == (True, True, True)


@pytest.mark.parametrize(
    "bad",
    [
        {"mode": "maybe"},
        {"kinds": ("names",)},
        {"kinds": "card"},
        {"patterns": {"x": "("}},
        {"patterns": {"x": "a*"}},
        {"patterns": {"": "a"}},
    ],
)
def test_a_setting_that_means_nothing_is_refused(bad):
    with pytest.raises(InvalidInput):
        Redaction(**bad)


def test_a_library_that_is_missing_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("memos_core.redaction.find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"memos-suite-core\[redaction\]"):
        Redaction()
    assert Redaction(kinds=("card",)).text("4111111111111111") == "[card]"


@given(st.text(max_size=300))
def test_any_text_can_be_looked_through_and_spans_do_not_overlap(text):
    spans = MASK.spans(text)
    assert all(before.end <= after.start for before, after in pairwise(spans))


@given(st.integers(10**11, 10**17))
def test_every_number_has_one_check_digit(number):
    assert sum(has_luhn_sum(f"{number}{digit}") for digit in range(10)) == 1


@given(st.integers(0, 10**18 - 1))
def test_one_pair_of_check_digits_in_97_is_right(number):
    assert 1 <= sum(has_iban_sum(f"DE{check:02}{number:018}") for check in range(100)) <= 2


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "1 " * 100_000, "a@" * 50_000, "DE00" * 50_000, "a." * 100_000]
)
def test_a_long_text_takes_no_more_than_its_length(text):
    assert Redaction(kinds=("key", "email", "iban", "card")).text(text) is not None


# --- in every write path ----------------------------------------------------------------------

SECRET = "ysolde@example.org"
WRITES = {
    "remember": lambda cube, m: cube.remember(f"she is at {SECRET}", tags=[SECRET], kind=SECRET),
    "ingest": lambda cube, m: cube.ingest([Message(SECRET, f"I am at {SECRET}")], session="s"),
    "revise": lambda cube, m: cube.revise(m, f"now at {SECRET}", tags=[SECRET], kind=SECRET),
    "copy": lambda cube, m: cube.copy(m, f"copied at {SECRET}"),
}


@pytest.mark.parametrize("verb", WRITES)
def test_nothing_of_it_is_embedded_indexed_or_written(open_memos, folder, index, embedder, verb, monkeypatch):
    seen = []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: seen.extend(texts) or embed(texts))
    memos = open_memos(redaction="mask")
    cube = memos.cube("notes")
    WRITES[verb](cube, cube.remember("something else").id)
    memos.drain()
    told = [entry.text for entry in index._held.values()]
    memos.close()
    held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert (SECRET.encode() in held, [text for text in (*seen, *told) if SECRET in text]) == (False, [])
    assert b"[email" in held


@pytest.mark.parametrize("verb", WRITES)
def test_a_refusal_writes_nothing(open_memos, catalog_rows, verb):
    memos = open_memos(redaction=Redaction(mode="refuse"))
    cube = memos.cube("notes")
    memory = cube.remember("something else")
    memos.drain()  # or the background pays between the two looks
    rows = catalog_rows(memos)
    with pytest.raises(SecretFound):
        WRITES[verb](cube, memory.id)
    assert catalog_rows(memos) == rows


def test_a_batch_with_one_secret_is_refused_whole(open_memos):
    cube = open_memos(redaction="refuse").cube("notes")
    with pytest.raises(SecretFound):
        cube.ingest([Message("Mira", "hello"), Message("Mira", f"mail {SECRET}")])
    assert cube.count() == 0


def test_the_same_told_again_is_the_same_memory_masked_or_not(open_memos):
    cube = open_memos(redaction="mask").cube("notes")
    first = cube.remember(f"she is at {SECRET}")
    assert cube.remember(f"she is at {SECRET}").id == first.id
    messages = [Message(SECRET, f"I am at {SECRET}")]
    assert [m.id for m in cube.ingest(messages)] == [m.id for m in cube.ingest(messages)]
