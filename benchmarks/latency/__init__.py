"""How long a memory takes: adding, recalling, reopening, beside the bare parts it is made of."""
