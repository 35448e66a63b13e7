"""Lets tests of this folder share `arm_aks.world` and each other's modules."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]
