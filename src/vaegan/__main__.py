"""``python -m vaegan`` is the command ``vaegan``; torchrun starts it so in several processes."""

import sys

from .cli import main

sys.exit(main())
