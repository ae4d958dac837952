"""Run the relay as ``python -m relay_server``."""

import sys

from relay_server.cli import main

sys.exit(main())
