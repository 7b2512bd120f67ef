"""Whatever is done to the levels, a dict knows what they may hold."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memos_core.tiers.kv.eviction import (
    Entry,
    Use,
    least_frequently_used,
    least_recently_used,
    over_budget,
    saved_seconds,
    used,
)
from memos_core.tiers.kv.levels import DEVICE, HOST, Levels, Sizes, Worth

POLICIES = st.sampled_from([saved_seconds, least_recently_used, least_frequently_used])
KEYS = st.integers(0, 9).map(str)
PARENT = {str(n): str(n - 1) if n % 3 else "" for n in range(10)}  # 0 <- 1 <- 2, 3 <- 4 <- 5, …


@dataclass(frozen=True)
class Held:
    name: str
    made: int
    size: int
    place: str


class LevelsMachine(RuleBasedStateMachine):
    """The shelf beside a dict of what was put last, and of what must be there."""

    @initialize(device=st.integers(0, 60), host=st.sampled_from([0, 0, 30, 80]), policy=POLICIES)
    def begin(self, device, host, policy):
        self.now = 0.0
        self.policy, self.budgets = policy, Sizes(device, host)
        self.shelf = Levels[Held](
            device_bytes=device,
            host_bytes=host,
            policy=policy,
            clock=lambda: self.now,
            to_host=lambda state: replace(state, place=HOST),
            to_device=lambda state: replace(state, place=DEVICE),
        )
        self.last: dict[str, Held] = {}
        self.pinned: set[str] = set()
        self.must: set[str] = set()  # pinned while it was held
        self.added = self.dropped = self.made = 0
        self.alone: dict[str, Entry] = {}  # what a shelf of one level holds
        self.past: dict[str, Use] = {}

    @rule(key=KEYS, size=st.integers(1, 40), build=st.sampled_from([0.0, 0.5, 5.0]))
    def put(self, key, size, build):
        self.made += 1
        state = Held(key, self.made, size, DEVICE)
        self.added += len({key} - self.shelf.keys())
        self.shelf.put(key, state, worth=Worth(build=build, load=0.25, parent=PARENT[key]))
        self.last[key] = state
        self.must.discard(key)  # of another size now, it may be too large
        self.put_alone(key, size, build)
        self.held_for_good()

    @rule(key=KEYS)
    def get(self, key):
        before = self.shelf.keys()
        found = self.shelf.get(key)
        assert (found is not None) == (key in before)
        if found is not None:
            state, level = found
            place = DEVICE if self.budgets.device else level
            assert (state.name, state.made, state.place) == (key, self.last[key].made, place)
        if key in self.alone:
            entry = self.alone[key]
            self.alone[key] = replace(entry, use=used(entry.use, now=self.now))

    @rule(keys=st.sets(KEYS, max_size=4))
    def drop(self, keys):
        there = self.shelf.keys() & keys
        assert self.shelf.drop(keys) == len(there)
        self.dropped += len(there)
        self.pinned -= keys
        self.must -= keys
        for key in keys:
            self.alone.pop(key, None)
            self.past.pop(key, None)
        assert self.shelf.keys().isdisjoint(keys)

    @rule(keys=st.sets(KEYS, min_size=1, max_size=3))
    def pin(self, keys):
        self.shelf.pin(keys)
        self.pinned |= keys
        self.alone = {key: replace(each, pinned=key in self.pinned) for key, each in self.alone.items()}
        self.held_for_good()

    @rule(keys=st.sets(KEYS, min_size=1, max_size=5))
    def unpin(self, keys):
        self.shelf.unpin(keys)
        self.pinned -= keys
        self.must -= keys
        self.alone = {key: replace(each, pinned=key in self.pinned) for key, each in self.alone.items()}
        self.settle_alone()

    @precondition(lambda self: self.now > 50)
    @rule()
    def clear(self):
        self.dropped += len(self.shelf.keys())
        self.shelf.clear()
        self.pinned, self.must, self.alone, self.past = set(), set(), {}, {}

    @rule(seconds=st.sampled_from([1.0, 60.0, 90_000.0]))
    def wait(self, seconds):
        self.now += seconds

    # --- what a shelf of one level holds, worked out anew ---

    def put_alone(self, key, size, build):
        former = self.alone.pop(key, None)
        use = used(former.use if former else self.past.pop(key, None), now=self.now)
        if size <= self.budgets.device:
            self.alone[key] = Entry(
                key=key,
                size=size,
                build=build,
                load=0.25,
                parent=PARENT[key],
                use=use,
                pinned=key in self.pinned,
            )
        self.settle_alone()

    def settle_alone(self):
        budget = self.budgets.device
        for key in over_budget(self.alone.values(), budget=budget, now=self.now, policy=self.policy):
            self.past[key] = self.alone.pop(key).use

    def held_for_good(self):
        self.must |= self.pinned & self.shelf.keys()

    # --- what holds at any time ---

    @invariant()
    def one_level_holds_what_the_policy_says(self):
        if not self.budgets.host:
            assert self.shelf.keys() == set(self.alone)

    @invariant()
    def the_sizes_are_those_of_what_is_held(self):
        held = self.shelf.keys()
        assert sum(self.shelf.sizes()) == sum(self.last[key].size for key in held)

    @invariant()
    def no_level_exceeds_its_budget_but_for_pins(self):
        if not self.pinned:
            sizes = self.shelf.sizes()
            assert (sizes.device <= self.budgets.device, sizes.host <= self.budgets.host) == (True, True)

    @invariant()
    def what_is_pinned_is_there(self):
        assert self.must <= self.shelf.keys()

    @invariant()
    def nothing_leaves_unsaid(self):
        told = self.shelf.stats()
        assert told.entries == len(self.shelf.keys())
        assert told.entries == self.added - self.dropped - told.evicted - told.refused


TestLevels = LevelsMachine.TestCase
TestLevels.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
