"""The machine by themes: what a small one does, it does often, and so it finds soon what is wrong there.

A theme is the whole machine, its model and its invariants, with a few of its rules and mostly in one
cube, which has something in it from the start. `hunt` runs one until it finds something.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import Rule, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.properties.machine import StoreMachine
from tests.properties.strategies import NAMES, OWNERS, texts
from tests.properties.tidying import Tidying

HOME = OWNERS[0], NAMES[0]


def rules_of(machine: type[StoreMachine]) -> dict[str, Rule]:
    return {each.function.__name__: each for each in machine.setup_state().rules}


RULES = rules_of(StoreMachine) | rules_of(Tidying)

BRIEF = settings(
    max_examples=9,  # the simplest one and eight by chance: what would follow is much like those before
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class AtHome(StoreMachine):
    """The machine in one cube, as long as something is to be seen there."""

    does: ClassVar[frozenset[str]] = frozenset(RULES)

    @initialize(said=st.lists(texts, min_size=1, max_size=3))
    def begin_at_home(self, said: list[str]) -> None:
        for text in said:
            StoreMachine.remember(
                self, *HOME, text=text, tags=(), at=None, kind="fact", ttl=None, trust="trusted"
            )

    def stocked(self, owner: str, name: str) -> tuple[str, str]:
        return HOME if self.models[HOME].visible(self.store.now) else super().stocked(owner, name)


def themed(name: str, *does: str, of: type[StoreMachine] = StoreMachine) -> type[AtHome]:
    """Return a machine with these rules of the whole one, or `of` another; one named twice comes twice.

    They are steps of a single rule, of which none is ever left out: Hypothesis leaves out rules at random,
    to make room for the others, and of few rules most are needed.
    """
    rules = rules_of(of)
    steps = st.one_of([_step(rules[each]) for each in does])

    def step(self: AtHome, step: tuple[str, dict[str, Any]]) -> None:
        verb, given = step
        if all(holds(self) for holds in rules[verb].preconditions):
            rules[verb].function(self, **given)

    hidden: dict[str, Any] = dict.fromkeys(rules)
    bases = (AtHome,) if of is StoreMachine else (AtHome, of)
    machine: type[AtHome] = type(
        name, bases, {**hidden, "step": rule(step=steps)(step), "does": frozenset(does)}
    )
    return machine


def _step(of: Rule) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(of.function.__name__), st.fixed_dictionaries(dict(of.arguments_strategies)))


def hunt(machine: type[RuleBasedStateMachine], *, rounds: int, first: int = 0, steps: int = 40) -> None:
    """Run a machine over nine stores a round, the same ones each time; raises what it finds."""
    brief = settings(BRIEF, stateful_step_count=steps)
    for number in range(first, first + rounds):
        run_state_machine_as_test(seed(number)(machine), settings=brief)


Writing = themed(
    "Writing", "remember", "ingest", "revise", "forget", "link",
    "recall", "look", "upkeep", "accident", "overtake",
)  # fmt: skip
Lasting = themed("Lasting", "remember", "wait", "recall", "look", "upkeep")
Life = themed("Life", "remember", "revise", "forget", "link", "lead", "lead", "upkeep", "upkeep")
Sharing = themed("Sharing", "remember", "link", "share", "look")
Past = themed("Past", "remember", "revise", "forget", "link", "travel", "upkeep")
Forks = themed("Forks", "remember", "revise", "forget", "lead", "link", "branch", "branch", "doubt")
Erasure = themed("Erasure", "remember", "ingest", "revise", "link", "lead", "doubt", "forget_many", "wait")
Idle = themed(
    "Idle", "undo", "consolidate", "consolidate", "consolidate", "forget", "remember", "revise", "link",
    "lead", "accident", "upkeep", of=Tidying,
)  # fmt: skip
THEMES = (Writing, Lasting, Life, Sharing, Past, Forks, Erasure, Idle)
