"""``poolwright up``, with the bug of ``bugs.py`` that ``CHURN_BUG`` names, if it names one."""

from __future__ import annotations

import os

from poolwright.app.cli import main

if __name__ == "__main__":
    if bug := os.environ.get("CHURN_BUG"):
        import bugs

        bugs.BUGS[bug]()
    main()
