"""Where a team's memories stand: private notes, a shared blackboard, lore that is only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from memos_core import InvalidInput, MemCube, MemOS, Right, Visibility

NOTES = "notes"


class Scope(StrEnum):
    """Whose a memory is: the agent's own, the team's, or everybody's."""

    AGENT = "agent"
    TEAM = "team"
    GLOBAL = "global"

    @property
    def place(self) -> str:
        """How a prompt calls it."""
        return {"agent": "your notes", "team": "blackboard", "global": "lore"}[self.value]

    @property
    def visibility(self) -> Visibility:
        return Visibility.PRIVATE if self is Scope.AGENT else Visibility.SHARED


def checked_scope(scope: object) -> Scope:
    """Return one of agent, team, global."""
    try:
        return Scope(str(scope))
    except ValueError as exc:
        raise InvalidInput(f"scope is one of {', '.join(Scope)}, not {scope!r}") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A team by name, the principal that owns its blackboard and the lore, and the cube of the lore.

    Its agents act as the principals `team/agent`: equal names in two teams are two principals.
    """

    team: str
    owner: str
    lore: str | None = "lore"

    def __post_init__(self) -> None:
        _checked(self.team, "team")

    @property
    def board(self) -> str:
        return f"{self.team}/board"

    def principal(self, agent: str) -> str:
        """Return as whom an agent of this team acts."""
        return f"{self.team}/{_checked(agent, 'agent')}"

    def cube(self, scope: Scope) -> tuple[str, str | None] | None:
        """Return the name and the owner of a scope's cube, as an agent asks for it; None if there is none."""
        match scope:
            case Scope.AGENT:
                return NOTES, None
            case Scope.TEAM:
                return self.board, self.owner
            case Scope.GLOBAL:
                return None if self.lore is None else (self.lore, self.owner)


def gathered(memos: MemOS, crew: Crew, agents: Sequence[str]) -> tuple[MemCube, MemCube | None]:
    """Make the team's cubes; let these agents, and none of before, write on the one and read the other."""
    members = memos.group(f"{crew.team}/agents", members=[crew.principal(agent) for agent in agents])
    board = memos.cube(crew.board)
    board.grant(members, Right.WRITE)
    lore = None if crew.lore is None else memos.cube(crew.lore)
    if lore is not None:
        lore.grant(members, Right.READ)
    return board, lore


def _checked(name: object, what: str) -> str:
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise InvalidInput(f"a {what}'s name must be a str without '/', not {name!r}")
    return name
