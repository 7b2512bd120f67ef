"""Putting a prompt together from segments that were made apart: near a full prefill, not equal to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memos_core.activation.keeper import Attached, Keeper, free_links, links
from memos_core.activation.plan import Plan
from memos_core.cube import CubeHeader
from memos_core.errors import InvalidInput
from memos_core.inference import AnyEngine, Composer, Prompt, State
from memos_core.segment import SegmentHeader
from memos_core.tiers.kv.forms import form_of
from memos_core.vault.artifacts import Artifact
from memos_core.vault.derived import Derived


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """How composed segments are mended: see `memos_core.inference.Composer`.

    `recompute` is "none", "first" (`amount` tokens of each segment) or "deviating" (that share of
    all tokens). None is "first" where segments are stored whole, and "none" where only some of their
    tokens are (the forms "sparse-…"): these cannot be computed anew.
    """

    recompute: str | None = None
    amount: float = 16

    def __post_init__(self) -> None:
        if self.recompute not in (None, "none", "first", "deviating"):
            raise InvalidInput(f'recompute is "none", "first" or "deviating", not {self.recompute!r}')
        if self.amount < 0:
            raise InvalidInput(f"amount must be 0 or more, not {self.amount!r}")

    def of(self, form: str) -> Composition:
        """Return what is done with segments of this form; InvalidInput where it cannot be done.

        A segment that was just made is whole whatever its form; it will not be when it is read again.
        """
        is_whole = form_of(form).is_whole
        if self.recompute is None:
            return replace(self, recompute="first" if is_whole else "none")
        if self.recompute != "none" and not is_whole:
            raise InvalidInput(
                f"segments of the form {form!r} lack tokens, and nothing can be computed anew in them: "
                f'compose them with recompute="none", or leave it out'
            )
        return self


def attached(
    engine: AnyEngine,
    keeper: Keeper,
    derived: Derived,
    cube: CubeHeader,
    plan: Plan,
    prompt: Prompt,
    *,
    form: str,
    how: Composition,
) -> Attached:
    """Return the shared head and one composed state of all memories after it; what lacks is made.

    `how` is settled for the form (`Composition.of`).
    """
    composer = _composer(engine)
    heads = links(plan, prompt, engine.identity, form=form, cumulative=False)[:1]
    done = Attached()
    keeper.chain(done, derived, cube, heads, prompt.ids)
    parts = free_links(plan, prompt, heads[0], form=form) if heads else []
    if not parts:
        return done
    rows = derived.servable(cube, [header.key for header, _ in parts])
    states = [_part(keeper, derived, cube, rows, done, header, ids) for header, ids in parts]
    head = done.states[0]
    done.states = [
        head,
        composer.compose(
            head,
            states,
            prompt.ids[: head.end + sum(len(header.ids) for header, _ in parts)],
            recompute=how.recompute or "none",
            amount=how.amount,
        ),
    ]
    return done


def _part(
    keeper: Keeper,
    derived: Derived,
    cube: CubeHeader,
    rows: Mapping[str, Artifact],
    done: Attached,
    header: SegmentHeader,
    ids: Sequence[int],
) -> State:
    found = keeper.find(derived, cube, rows, header)
    if found is None:
        made = keeper.make(header, ids, done.states[:1])
        done.made.append(made)
        return made.state
    done.count(header, artifact=rows[header.key], level=found[1])
    return found[0]


def _composer(engine: AnyEngine) -> Composer[Any]:
    if not isinstance(engine, Composer):
        raise InvalidInput(f"{engine.identity.engine} cannot compose segments: leave `compose` out")
    return engine
