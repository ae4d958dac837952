"""The rights that the user of the API key needs, and which box to tick for each."""

from typing import Final

_WHERE: Final = (
    "tick it in Dolibarr: Users & Groups, the user of the API key, tab Permissions;"
    " in French Utilisateurs & Groupes, l'utilisateur, onglet Permissions"
)
RIGHT_11: Final = (
    "right 11 is missing: this key may not read invoices",
    (
        f"{_WHERE}: module Invoices, Read customer invoices"
        " (Factures, Consulter les factures clients)"
    ),
)
RIGHT_12: Final = (
    "right 12 is missing: this key may not have PDFs made",
    (
        f"{_WHERE}: module Invoices, Create/modify customer invoices"
        " (Factures, Créer/modifier les factures clients); or set builddoc = false, and invoices"
        " without a PDF are drawn as receipts"
    ),
)
RIGHT_262: Final = (
    "right 262 is missing: Dolibarr hides the invoices from this key, and says nothing",
    (
        f"{_WHERE}: module Third parties, Extend access to all third parties"
        " (Tiers, Étendre l'accès à tous les tiers)"
    ),
)
UNSEEN: Final = (
    "Dolibarr no longer shows this key the invoices that it did",
    (
        f"has right 262 been taken away? {_WHERE}: module Third parties, Extend access to all third"
        " parties (Tiers, Étendre l'accès à tous les tiers)"
    ),
)
