"""Node, which Playwright brings along: no test of a script asks for another one, or is skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import playwright

_NAME = "node.exe" if sys.platform == "win32" else "node"
NODE = str(Path(playwright.__file__).parent / "driver" / _NAME)
