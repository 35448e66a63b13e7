"""``python -m poolwright``."""

from poolwright.app.cli import main

main()
