"""`python -m e2ee_ticket` is the command `e2ee-ticket`."""

import sys

from e2ee_ticket.cli import main

sys.exit(main())
