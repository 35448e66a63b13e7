"""``poolwright up`` with a bug of ``bugs.py``, if ``REPLICA_BUG`` names one."""

from __future__ import annotations

import os

import bugs

from poolwright.app.cli import main

if __name__ == "__main__":
    if name := os.environ.get("REPLICA_BUG"):
        bugs.BUGS[name]()
    main()
