import copy
import pickle
import re

import pytest

import memos_core
from memos_core import errors

EXAMPLES = [
    errors.NotFound("memory", "m1"),
    errors.Conflict("m1", expected=1, found=3),
    errors.IllegalTransition("m1", state="frozen", verb="revise"),
    errors.QuotaExceeded("notes", what="memories", limit=3, wanted=4),
    errors.Forbidden("bob", verb="write", what="cube 'notes'"),
    errors.InvalidInput("text is empty"),
    errors.SecretFound(("email", "card")),
    errors.MigrationNeeded("newer", found="9", wanted="1"),
    errors.FormatError("line 3: not JSON", line=3),
    errors.Locked("/folder", holder="process 7"),
    errors.Closed(),
    errors.BackendError("it failed"),
    errors.BackendUnavailable("try later"),
    errors.UnderWay("notes"),
    errors.NothingToTeach("notes"),
    errors.AlreadyThere("notes", ["m1", "m2"]),
    errors.WrongPurpose("bob", cube="notes", purpose="", purposes=("support",)),
]


def tree(root, depth=0):
    yield (depth, root.__name__)
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


def test_the_docstring_shows_the_tree_as_it_is():
    drawn = re.findall(r"^    ([│ ├└─]*)(\w+)", errors.__doc__, re.MULTILINE)
    assert [(len(lines) // 4, name) for lines, name in drawn] == list(tree(errors.MemOSError))


def test_every_error_can_be_caught_from_the_top_level():
    names = [name for _, name in tree(errors.MemOSError)]
    assert [getattr(memos_core, name, None) for name in names] == [getattr(errors, name) for name in names]


def test_bad_input_is_a_value_error_as_well():
    assert issubclass(errors.InvalidInput, ValueError)


@pytest.mark.parametrize(
    ("error", "facts", "says"),
    [
        (EXAMPLES[0], {"what": "memory", "name": "m1"}, "no memory 'm1'"),
        (EXAMPLES[1], {"memory_id": "m1", "expected": 1, "found": 3}, "and ask with expected=3"),
        (EXAMPLES[2], {"memory_id": "m1", "state": "frozen", "verb": "revise"}, "is frozen"),
        (EXAMPLES[3], {"cube": "notes", "what": "memories", "limit": 3, "wanted": 4}, "may hold 3"),
        (EXAMPLES[4], {"principal": "bob", "verb": "write", "what": "cube 'notes'"}, "'bob' may not write"),
        (EXAMPLES[6], {"kinds": ("email", "card")}, "email, card"),
        (EXAMPLES[7], {"found": "9", "wanted": "1"}, "newer"),
        (EXAMPLES[8], {"line": 3}, "line 3"),
        (EXAMPLES[14], {"cube": "notes"}, "remember() something"),
        (EXAMPLES[15], {"cube": "notes", "ids": ("m1", "m2")}, "on_conflict='skip'"),
        (EXAMPLES[9], {"folder": "/folder", "holder": "process 7"}, "process 7"),
        (EXAMPLES[10], {}, "MemOS.open"),
        (errors.UnderWay("notes"), {"cube": "notes"}, "wait for that"),
        (EXAMPLES[-1], {"principal": "bob", "purpose": "", "purposes": ("support",)}, "no purpose"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_carries_its_facts_and_says_them(error, facts, says):
    assert ({name: getattr(error, name) for name in facts}, says in str(error)) == (facts, True)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_between_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied(error):
    assert str(copy.copy(error)) == str(error)
