"""What is said where TakePOS sells and prints nothing here: one setting erases another."""

from typing import Final

from e2ee_ticket.sources import Finding

UNPRINTED_MAX: Final = 2
"""After so many sales that were seen and not printed, the cashier is told."""

UNPRINTED: Final = Finding(
    ok=False,
    text="TakePOS makes sales, but prints no receipt here",
    hint=(
        "in Dolibarr, Setup, Other setup: is TAKEPOS_PRINT_SERVER still there? whoever saves"
        " TakePOS' tab Receipt erases it; and TAKEPOS_AUTO_PRINT_TICKETS must be 1"
    ),
)
