"""Write the room table of ARCHITECTURE.md from the packages' docstrings.

python tools/make_architecture.py          # write
python tools/make_architecture.py --check  # exit 1 if it would change something
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "sim", "arm", "control", "kubesim", "providers", "kube", "store", "telemetry",
         "reconcile", "plan", "ports", "model")  # fmt: skip
START, END = (
    "<!-- rooms: made by tools/make_architecture.py from the packages' docstrings -->",
    "<!-- /rooms -->",
)


def table() -> str:
    lines = ["", "| room | what it is for, what it may know, what it refuses |", "|---|---|"]
    for room in ROOMS:
        source = (ROOT / "src/poolwright" / room / "__init__.py").read_text()
        docstring = ast.get_docstring(ast.parse(source)) or ""
        lines.append(f"| `{room}` | {' '.join(docstring.split())} |")
    return "\n".join([*lines, "", ""])


def main() -> None:
    path = ROOT / "ARCHITECTURE.md"
    old = path.read_text()
    before, _, rest = old.partition(START)
    after = rest.partition(END)[2]
    new = f"{before}{START}\n{table()}{END}{after}"
    if "--check" in sys.argv:
        sys.exit(new != old)
    path.write_text(new)


if __name__ == "__main__":
    main()
