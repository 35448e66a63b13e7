"""The command line: ``poolwright up`` and az's grammar for people without azure-cli."""

from poolwright.app.cli.main import main

__all__ = ["main"]
