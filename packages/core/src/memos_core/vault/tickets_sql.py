"""What a catalog on PostgreSQL has to keep Procrastinate's tickets by its jobs: a trigger and two indexes.

A ticket is a row of `procrastinate_jobs`. It has a job's id and no word of anybody's.
"""

from __future__ import annotations

from typing import Final

TURNS: Final = 1 << 26
"""Turns of one rank that Procrastinate's `priority` (32 bits, ranks from -9 to 9) has room for."""
LAST: Final = -(1 << 31)
"""The priority of what waits for its time: it is in nobody's way."""

_MOMENT: Final = "timestamptz 'epoch' + NEW.run_at * interval '1 microsecond'"

# Which ticket belongs to a job's row, and Procrastinate's own functions to bring it there.
_KEEP: Final = f"""
CREATE FUNCTION memos_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  held procrastinate_jobs;
  wanted procrastinate_job_to_defer_v1;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    SELECT * INTO held FROM procrastinate_jobs
      WHERE args ->> 'job' = OLD.id AND status IN ('todo', 'doing') LIMIT 1;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF NEW.state = 'running' THEN
      IF OLD.state <> 'running' AND held.status IS DISTINCT FROM 'doing' THEN
        RAISE EXCEPTION 'Procrastinate hands out the jobs of this store since it was opened: open it anew'
          USING ERRCODE = '55000';
      END IF;
      RETURN NULL;
    ELSIF NEW.state = 'waiting' AND NEW.lead THEN
      wanted := ('memos.' || NEW.kind, 'memos.' || NEW.kind,
        (-NEW.rank * {TURNS} - least(NEW.turn, {TURNS - 1}))::integer, NEW.lane,
        md5(NEW.waiting), jsonb_build_object('job', NEW.id), NULL);
    ELSIF NEW.state = 'delayed' THEN
      wanted := ('memos.' || NEW.kind, 'memos.' || NEW.kind, {LAST},
        NULL, md5(NEW.waiting), jsonb_build_object('job', NEW.id), {_MOMENT});
    END IF;
  END IF;
  IF held.status = 'todo' AND wanted.task_name IS NOT NULL AND held.priority = wanted.priority
    AND held.scheduled_at IS NOT DISTINCT FROM wanted.scheduled_at THEN
    RETURN NULL;
  END IF;
  IF held.status = 'doing' THEN
    PERFORM procrastinate_finish_job_v1(held.id, 'succeeded', true);
  ELSIF held.status = 'todo' THEN
    PERFORM procrastinate_cancel_job_v1(held.id, false, true);
  END IF;
  IF wanted.task_name IS NOT NULL THEN
    PERFORM procrastinate_defer_jobs_v1(ARRAY[wanted]);
  END IF;
  RETURN NULL;
END $$
"""  # noqa: S608 - numbers of ours

MAKE: Final = (
    "CREATE INDEX IF NOT EXISTS memos_ticket_of ON procrastinate_jobs ((args ->> 'job'))",
    "CREATE INDEX IF NOT EXISTS memos_ticket_lock ON procrastinate_jobs (lock) "
    "WHERE status IN ('todo', 'doing')",  # without it, who fetches compares every ticket with every other
    _KEEP,
    "CREATE TRIGGER memos_ticket AFTER INSERT OR DELETE OR UPDATE OF state, lead, rank, turn, run_at ON jobs "
    "FOR EACH ROW EXECUTE FUNCTION memos_ticket()",
    "UPDATE jobs SET lead = lead WHERE lead OR state = 'delayed'",  # what waits already gets its tickets
)

DROP: Final = (
    "DROP TRIGGER memos_ticket ON jobs",
    "DROP FUNCTION memos_ticket()",
    "DELETE FROM procrastinate_jobs WHERE starts_with(task_name, 'memos.')",
)

IS_MADE: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
    "WHERE tgname = 'memos_ticket' AND relnamespace = current_schema()::regnamespace)"
)

HAS_SCHEMA: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'procrastinate_jobs' "
    "AND relnamespace = current_schema()::regnamespace)"
)
CALLED: Final = (  # what we call of it
    "procrastinate_defer_jobs_v1",
    "procrastinate_fetch_job_v2",
    "procrastinate_finish_job_v1",
    "procrastinate_cancel_job_v1",
    "procrastinate_register_worker_v1",
    "procrastinate_update_heartbeat_v1",
    "procrastinate_prune_stalled_workers_v1",
)
LACKING: Final = (
    "SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE NOT EXISTS "
    "(SELECT 1 FROM pg_proc WHERE proname = name AND pronamespace = current_schema()::regnamespace)"
)
