"""`python3 -m kapi`, and what `cerebro kapi` executes by its path."""

import sys
from pathlib import Path

if not __package__:  # run as a file, without a search path (python3 -I)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kapi.cli import main  # noqa: E402

sys.exit(main())
