"""Full text on PostgreSQL: an inverted index of our own, since its ranking knows no BM25.

`lexical` has the columns that it has on SQLite, so whoever writes it need not know. A trigger keeps
`postings` by it: how often each word stands in each text. Words come analysed (`tiers/text/lexical.py`),
Chinese and Japanese as bigrams, so PostgreSQL's own parsers and dictionaries have no say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Float, Integer, String, bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY

LONGEST_TERM: Final = 256
"""Characters of a word that count: a key of an index holds 2,700 bytes."""


def full_text() -> Sequence[str]:
    """Return what makes `lexical` and `postings`, and what keeps the one by the other."""
    return (
        'CREATE TABLE lexical (rowid bigint PRIMARY KEY, cube varchar COLLATE "C" NOT NULL, '
        'terms text COLLATE "C" NOT NULL, length integer NOT NULL GENERATED ALWAYS AS '
        "(cardinality(string_to_array(terms, ' '))) STORED)",
        "CREATE INDEX ix_lexical_cube ON lexical (cube) INCLUDE (length)",
        'CREATE TABLE postings (term varchar COLLATE "C" NOT NULL, cube varchar COLLATE "C" NOT NULL, '
        "rowid bigint NOT NULL, times integer NOT NULL, length integer NOT NULL, "
        "PRIMARY KEY (term, cube, rowid))",
        "CREATE INDEX ix_postings_rowid ON postings (rowid)",
        _KEEP,
        "CREATE TRIGGER lexical_postings AFTER INSERT OR UPDATE OR DELETE ON lexical "
        "FOR EACH ROW EXECUTE FUNCTION lexical_postings()",
    )


_KEEP = f"""
CREATE FUNCTION lexical_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM postings WHERE rowid = OLD.rowid;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO postings (term, cube, rowid, times, length)
      SELECT left(term, {LONGEST_TERM}), NEW.cube, NEW.rowid, count(*), NEW.length
      FROM unnest(string_to_array(NEW.terms, ' ')) AS term WHERE term <> '' GROUP BY 1;
  END IF;
  RETURN NULL;
END $$
"""  # noqa: S608 - a number of ours

# BM25 with k1 = 1.2 and b = 0.75 and the floor that FTS5 has; a word that is asked for twice counts twice.
MATCHES: Final = (
    text(
        """
WITH wanted AS (SELECT term, count(*) AS weight FROM unnest(:terms) AS term GROUP BY term),
  stock AS (
    SELECT count(*)::float8 AS texts, avg(length)::float8 AS mean FROM lexical WHERE cube = ANY(:cubes)
  ),
  found AS (
    SELECT p.rowid, p.times::float8 AS times, p.length, w.weight,
      count(*) OVER (PARTITION BY p.term)::float8 AS holding
    FROM wanted AS w JOIN postings AS p ON p.term = w.term AND p.cube = ANY(:cubes)
  )
SELECT rowid, sum(
    weight * greatest(ln((texts - holding + 0.5) / (holding + 0.5)), 0.000001)
    * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / mean))
  ) AS score
FROM found, stock GROUP BY rowid ORDER BY score DESC, rowid LIMIT :limit
"""
    )
    .bindparams(
        bindparam("terms", type_=ARRAY(String)),
        bindparam("cubes", type_=ARRAY(String)),
        bindparam("limit", type_=Integer),
    )
    .columns(column("rowid", BigInteger), column("score", Float))
)
