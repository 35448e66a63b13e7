"""The history of the tables. A migration is never changed after a release; add the next one."""
