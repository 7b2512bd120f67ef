"""The public face: open a folder, get cubes, look after the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from memos_core import erasing
from memos_core.audit import AuditCheck, AuditLine
from memos_core.care import Checkup, Reindexed, Stats, Upkeep, checkup, kept_up, measured, reindexed
from memos_core.composition import ComposedCubes, checked_ids
from memos_core.core import Core
from memos_core.cube import Group, Principal, Right
from memos_core.embed import EmbedderSpec
from memos_core.erasure import Erasure, ErasureCheck
from memos_core.errors import InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.memcube import MemCube
from memos_core.memory import checked_name, checked_span, checked_time
from memos_core.memos_adapters import AdapterVerbs
from memos_core.memos_files import Loading
from memos_core.memos_jobs import Working, checked_extractor
from memos_core.memos_plan import Planning
from memos_core.memos_segments import SegmentVerbs
from memos_core.opened import RESIDENT_BYTES, Lease, Settings, connected, found, remembered, settings_of
from memos_core.protocols import Extractor, TextIndex
from memos_core.redaction import Redaction, checked_redaction
from memos_core.vault import chain, records, tx_erase, tx_person, tx_share
from memos_core.vault.catalog import utc_now

LOCAL = Principal("local")


class MemOS(Loading, Working, Planning, SegmentVerbs, AdapterVerbs):
    """A memory store in a folder, seen by one principal.

    ::

        with MemOS.open("./memory") as memos:
            mira = memos.cube("mira")
            mira.remember("Mira moved to Lisbon in May 2024.")
            print(mira.recall("Where does Mira live?").render(budget=512))

    One process at a time has a folder open; within it, share one MemOS between threads and agents.
    Several processes share a store whose catalog and index are on servers. A pickled one is its
    settings and its principal; it comes back as by `connect`.
    """

    def __init__(self, core: Core, principal: Principal, *, lease: Lease | None = None) -> None:
        self._core, self.principal, self._lease = core, principal, lease

    def __reduce__(self) -> tuple[Callable[..., MemOS], tuple[Settings, Principal]]:
        return _reconnected, (self.settings, self.principal)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        principal: Principal | str = LOCAL,
        catalog: str | None = None,
        embedder: EmbedderSpec = None,
        index: str | TextIndex | None = None,
        jobs: str | None = None,
        resident_bytes: int = RESIDENT_BYTES,
        redaction: Redaction | str | None = None,
        extractor: Extractor | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> MemOS:
        """Open the store in `folder`, which is made if it is missing.

        `catalog` is the URL of a PostgreSQL database, "postgresql+psycopg://user@host/database"; None
        means SQLite in the folder. With a `catalog` and an `index` on servers several processes may have
        the store open; what models computed stays in the folder, which all of them have to share.
        `embedder` is a name, an Embedder or a function (see `memos_core.embed`); None means the one
        that the store was made with, and MiniLM for a new store. `index` is the URI of a Milvus
        server, or a TextIndex; None means Milvus Lite in the folder. `jobs` is who hands out durable
        work: "embedded", or "procrastinate" on PostgreSQL; None leaves it as it was. `resident_bytes`
        bounds the keys held in RAM. `redaction` masks or refuses addresses, numbers and keys before
        anything is written: "mask", "refuse", a Redaction, or None for neither. `extractor` reads what
        is ingested, as jobs (see `worker`). `clock` returns the present moment, with its time zone.

        Raises Locked if another process has the folder open, MigrationNeeded if its vectors are of
        another embedder or its schema is newer, FormatError if the folder or the database holds
        something else, BackendUnavailable if the database's server does not answer, BackendError if it
        lets nobody in so or the extra `postgres` is missing.
        """
        if isinstance(resident_bytes, bool) or not isinstance(resident_bytes, int) or resident_bytes < 0:
            raise InvalidInput(f"resident_bytes must be a number of bytes from 0, not {resident_bytes!r}")
        who, place = _principal(principal), _path(folder)
        if not callable(clock):
            raise InvalidInput(f"clock must be a function that returns the time, not {clock!r}")
        checked_time(clock(), what="clock()")
        if extractor is not None:
            checked_extractor(extractor)
        if not (catalog is None or isinstance(catalog, str)):
            raise InvalidInput(
                f"catalog must be the URL of a PostgreSQL database, not {type(catalog).__name__}"
            )
        core = Core(
            place,
            catalog=catalog,
            embedder=embedder,
            index=index,
            jobs=jobs,
            resident_bytes=resident_bytes,
            redaction=checked_redaction(redaction),
            clock=clock,
        )
        opened = cls(remembered(core), who)
        if extractor is not None:
            core.extract_with(extractor)
        return opened

    @classmethod
    def connect(cls, settings: Settings, *, principal: Principal | str = LOCAL) -> MemOS:
        """Return the store with these settings: the one that this process has open, else opened now.

        Closing it gives the share back: a store that somebody opened with `open` stays open, one that
        was opened here closes with the last share. Raises InvalidInput where this process has the
        folder open with other settings, and what `open` raises.
        """
        if not isinstance(settings, Settings):
            raise InvalidInput(f"connect takes the Settings of a store, not {settings!r}")
        who, lease = _principal(principal), connected(settings)
        return cls(lease.core, who, lease=lease)

    @property
    def settings(self) -> Settings:
        """How the store was opened, to be written down.

        InvalidInput if with a live embedder, index, clock or Redaction, or a password in a URI.
        """
        self._core.check_open()
        return settings_of(self._core)

    @classmethod
    def opened(cls, folder: str | Path, *, principal: Principal | str = LOCAL) -> MemOS:
        """Return the store that this process has open in `folder`, as somebody sees it.

        So what was configured by the folder's name finds the one open store there. NotFound if
        nothing in this process has it open.
        """
        return cls(found(_path(folder)), _principal(principal))

    @property
    def folder(self) -> Path:
        """Where the store is, as an absolute path."""
        return self._core.folder.resolve()

    def as_principal(self, principal: Principal | str, *, purpose: str | None = None) -> MemOS:
        """Return the same open store as somebody else sees it, who acts for this purpose.

        It is the application that vouches for who, and for what.
        """
        self._core.check_open()
        who = _principal(principal)
        who = who if purpose is None else Principal(who.name, purpose=purpose)
        return MemOS(self._core, who, lease=self._lease)

    # --- cubes -------------------------------------------------------------------------------

    def cube(self, name: str, *, owner: Principal | str | None = None, create: bool = True) -> MemCube:
        """Return the cube of this name; your own is created on first use, unless `create` is false.

        Each principal has names of its own: two owners may each have a "notes", and neither learns
        of the other's. Somebody else's cube (`owner`) is NotFound unless you may see it.
        """
        self._core.check_open()
        checked_name(name, what="cube name")
        wanted = self.principal if owner is None else _principal(owner)
        with self._core.catalog.read() as view:
            header = view.enter_named(wanted.name, name, self.principal, Right.READ)
        if header is not None:
            return MemCube(self._core, header, self.principal)
        if wanted != self.principal or not create:
            raise NotFound("cube", name)
        with self._core.catalog.write(self.principal) as tx:
            header = tx.find_cube(wanted.name, name) or tx.create_cube(name)
        return MemCube(self._core, header, self.principal)

    def cubes(self, *, prefix: str = "", with_records: bool = False) -> Sequence[MemCube]:
        """Return the cubes that you may read, oldest first.

        With a `prefix`, those whose names start so; `with_records`, those in which you see records.
        """
        self._core.check_open()
        if prefix:
            checked_name(prefix, what="prefix")
        with self._core.catalog.read() as view:
            if with_records:
                found = records.cubes_with(view, self.principal, prefix=prefix)
            else:
                found = view.cubes_of(self.principal, prefix=prefix)
        return [MemCube(self._core, header, self.principal) for header in found]

    def compose(self, *cubes: MemCube) -> ComposedCubes:
        """Return a view over several cubes that is read as one, with one ranking; you have to see each."""
        self._core.check_open()
        for cube in cubes:
            if not isinstance(cube, MemCube):
                raise InvalidInput(f"compose takes cubes, not {type(cube).__name__}: write memos.cube(name)")
        ids = checked_ids([cube.id for cube in cubes])
        with self._core.catalog.read() as view:
            for each in ids:
                view.enter(each, self.principal, Right.READ)
        return ComposedCubes(self._core, ids, self.principal)

    def group(self, name: str, *, members: Iterable[Principal | str] | None = None) -> Group:
        """Return your group of this name, made on first use; with `members` it has exactly these.

        A right that a cube grants to the group holds for whoever is in it at that moment.
        """
        self._core.check_open()
        checked_name(name, what="group name")
        if isinstance(members, str | Principal):
            raise InvalidInput(f"members must be several principals, not {members!r}: write members=[...]")
        names = None if members is None else [_principal(each).name for each in members]
        with self._core.erasing(self.principal) as tx:
            return tx_share.group(tx, name, names)

    def groups(self) -> Sequence[Group]:
        """Return the groups that you own or are in, by name."""
        self._core.check_open()
        with self._core.catalog.read() as view:
            return tx_share.groups_of(view, self.principal)

    # --- care --------------------------------------------------------------------------------

    def lag(self) -> int:
        """Return how many changes the vector index has not been told yet."""
        self._core.check_open()
        return self._core.indexer.owed()

    def drain(self) -> int:
        """Tell the vector index everything it is owed, now; return how many changes were told.

        What was erased is then overwritten in the files of the catalog and of the index, too.
        Raises BackendUnavailable if the index does not answer; nothing is lost, the debt stays.
        """
        self._core.check_open()
        return self._core.settle()

    def reindex(
        self, *, embedder: EmbedderSpec = None, progress: Callable[[int, int], None] | None = None
    ) -> Reindexed:
        """Make the vector index anew from the catalog, with another `embedder` if one is given.

        Recall goes on meanwhile. `progress(done, of)` is called now and then. Interrupted and called
        again, it goes on where it stopped; the store changes over to the new embedder at once, when
        every memory has its new vectors.
        """
        self._core.check_open()
        return reindexed(self._core, embedder=embedder, progress=progress or _unseen)

    # --- erasure -----------------------------------------------------------------------------

    def forget_cube(self, name: str, *, owner: Principal | str | None = None) -> Erasure:
        """Erase a cube with all that is in it; it takes ADMIN. Return the receipt.

        Frozen memories go as well, and so do records, grants and limits; the audit stays.
        """
        cube = self.cube(name, owner=owner, create=False)
        return erasing.erased(
            self._core,
            self.principal,
            lambda tx: tx_erase.erase_cube(tx, tx.open(cube.id, NEEDS["forget_cube"])),
        )

    def forget_principal(self, name: Principal | str) -> Erasure:
        """Erase what somebody owns or said, in every cube that you govern; return the receipt.

        Their own cubes go whole. In the others: the memories that they wrote, those whose words are
        theirs, their tellings of the rest, their records, their rights, the states under their system
        texts; frozen memories, too. You may
        also name yourself: then your own cubes go, your groups, and what you wrote in other people's
        cubes, as far as you may write there; what of it is frozen stays and is counted in `left`.
        """
        self._core.check_open()
        who = _principal(name)
        return erasing.erased(self._core, self.principal, lambda tx: tx_person.erase_principal(tx, who.name))

    def erasures(self) -> Sequence[Erasure]:
        """Return the receipts of your erasures, oldest first; what was erased is not in them."""
        self._core.check_open()
        return erasing.receipts(self._core, self.principal)

    def verify_erasure(self, receipt: Erasure | str, *, words: Iterable[str] = ()) -> ErasureCheck:
        """Pay what is owed to every file, then look whether anything of the erased is left.

        Rows and ids are looked for in any case. Words are those of the receipt, where it is the one
        that `forget` returned or that you saved, and `words`: they are looked for in every byte under
        the folder. The store itself has kept no word, nor anything that words could be tried against.
        A receipt that somebody else was given is NotFound.
        """
        self._core.check_open()
        if isinstance(words, str):
            raise InvalidInput("words must be several texts: write words=[...]")
        return erasing.verified(self._core, self.principal, receipt, words=words)

    # --- audit -------------------------------------------------------------------------------

    def audit(self) -> Sequence[AuditLine]:
        """Return every line of the audit, oldest first; of cubes that you do not govern the hash only."""
        self._core.check_open()
        with self._core.catalog.read() as view:
            return chain.lines_for(view, self.principal)

    def verify_audit(self, *, head: str | None = None) -> AuditCheck:
        """Check that no line of the audit was changed, removed, put in or moved.

        `head` is a hash that was noted earlier (`verify_audit().head.hash`): it has to be in the chain.
        """
        self._core.check_open()
        with self._core.catalog.read() as view:
            return chain.verify(view.connection, noted=head)

    def upkeep(self, *, archive_after: timedelta | None = None) -> Upkeep:
        """Expire what is overdue, in every cube; archive what nobody used for so long.

        An expired memory keeps its id, owner, times and audit; its words are erased as by forget().
        Nobody sees a memory whose time is over, whether this was called or not. Frozen ones stay.
        """
        self._core.check_open()
        return kept_up(self._core, idle=checked_span(archive_after, what="archive_after"))

    def stats(self) -> Stats:
        """Return what the store holds and takes: memories, bytes, debt, embedder."""
        self._core.check_open()
        return measured(self._core)

    def doctor(self) -> Checkup:
        """Look for damage and disagreement; return what was found and the remedy for each."""
        self._core.check_open()
        return checkup(self._core)

    def close(self) -> None:
        """Release the folder. Closing twice is no error; every other verb raises Closed from then on.

        What came from `connect` gives its share back.
        """
        if self._lease is None:
            self._core.close()
        else:
            self._lease.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unseen(_done: int, _of: int) -> None:
    """Take note of progress that nobody watches."""


def _reconnected(settings: Settings, principal: Principal) -> MemOS:
    return MemOS.connect(settings, principal=principal)


def _principal(who: Principal | str) -> Principal:
    return who if isinstance(who, Principal) else Principal(who)


def _path(folder: str | Path) -> Path:
    if not isinstance(folder, str | Path) or "\0" in str(folder):
        raise InvalidInput(f"folder must be a path, not {folder!r}")
    return Path(folder)
