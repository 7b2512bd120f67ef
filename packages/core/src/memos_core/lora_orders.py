"""What is to be trained, as a value, and as the few words and numbers that a job carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from memos_core.adapter import Recipe, Thresholds
from memos_core.errors import InvalidInput
from memos_core.extract.phrasing import ChatPhraser
from memos_core.job import Payload
from memos_core.query import Where
from memos_core.tiers.lora.curriculum import Syllabus

ADAPTER: Final = "adapter"  # of an examination's payload: the key of which one
_GATE: Final = "gate."  # before a threshold's name
_WORDS: Final = ("persona", "user", "targets", "method")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be trained: how lessons are made, which memories, how, and what it has to reach.

    A `phraser` puts the questions in other words, too. With `renew` whatever makes the adapter stale
    orders it anew; None leaves that as it is. `thresholds` None are those by default; what was trained
    before is held to them only if they are given.
    """

    syllabus: Syllabus
    recipe: Recipe
    thresholds: Thresholds | None = None
    stable: Where | None = None
    control: bool = False
    renew: bool | None = None
    phraser: ChatPhraser | None = None

    @property
    def gate(self) -> Thresholds:
        """What an adapter trained now has to reach."""
        return self.thresholds or Thresholds()

    def __post_init__(self) -> None:
        if self.renew and self.stable is not None:
            raise InvalidInput("what is renewed is taught of the whole cube: leave out `stable` or `renew`")
        if self.renew and self.phraser is not None:
            raise InvalidInput(
                "what is renewed is taught without a chat model: leave out `phraser` or `renew`"
            )


def payload_of(order: Order) -> Payload:
    """Return an order as a job carries it: what is not as by default, by name; a job knows no filter."""
    if order.stable is not None:
        raise InvalidInput("a job teaches the whole cube: leave out `stable`, or train at once")
    if order.phraser is not None:
        raise InvalidInput("a job has no chat model at hand: leave out `phraser`, or train at once")
    told = {**_changed(order.syllabus, Syllabus()), **_changed(order.recipe, Recipe())}
    told |= {_GATE + name: value for name, value in _changed(order.gate, Thresholds()).items()}
    return told | {name: True for name in ("control", "renew") if getattr(order, name)}


def _changed(given: Any, default: Any) -> dict[str, Any]:
    before = asdict(default)
    return {name: value for name, value in asdict(given).items() if value != before[name]}


def order_of(payload: Payload) -> Order:
    """Return the order that a job carries; InvalidInput for a name or a value that there is not."""
    told = {name: value for name, value in payload.items() if not name.startswith(_GATE)}
    control, renew = (bool(told.pop(name, False)) for name in ("control", "renew"))
    parts = {kind: _taken(told, kind) for kind in (Syllabus, Recipe)}
    if told:
        raise InvalidInput(f"a training is told nothing by the name of {', '.join(map(repr, sorted(told)))}")
    return Order(
        syllabus=Syllabus(**parts[Syllabus]),
        recipe=Recipe(**parts[Recipe]),
        thresholds=thresholds_of(payload) if any(name.startswith(_GATE) for name in payload) else None,
        control=control,
        renew=renew,
    )


def thresholds_of(payload: Payload) -> Thresholds:
    """Return the thresholds that a job carries, the others as by default."""
    told = {name.removeprefix(_GATE): value for name, value in payload.items() if name.startswith(_GATE)}
    given = _taken(told, Thresholds)
    if told:
        raise InvalidInput(f"there is no threshold by the name of {', '.join(map(repr, sorted(told)))}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"{_GATE}{name} must be a number, not {value!r}")
    return Thresholds(**given)


def _taken(told: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Take out of what is told the fields of a kind."""
    found = {each.name: told.pop(each.name) for each in fields(kind) if each.name in told}
    for name in _WORDS:
        if name in found and not isinstance(found[name], str):
            raise InvalidInput(f"{name} must be a word, not {found[name]!r}")
    return found


def renewal_of(order: Order, *, by: str, purpose: str) -> Mapping[str, Any] | None:
    """Return what is kept beside an adapter that is to be renewed: who wants it, for what, and how."""
    return {"by": by, "purpose": purpose, "payload": dict(payload_of(order))} if order.renew else None
