"""``python -m vaegan`` is the command ``vaegan``; torchrun starts it so in several processes."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
