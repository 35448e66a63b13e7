"""The client-go program is built from modules that `make live-tools` may be building just now."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))
