"""Lets tests of this folder share `arm_aks.world`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
