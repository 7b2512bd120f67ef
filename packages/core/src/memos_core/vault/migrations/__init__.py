"""Alembic's environment and the schema's revisions, carried in the wheel."""
