"""The words of a receipt that Dolibarr's API gives as codes, in the pages' five languages."""

from collections.abc import Mapping
from typing import Final

_EN: Final = {
    "LIQ": "Cash",
    "CB": "Card",
    "CHQ": "Cheque",
    "VIR": "Bank transfer",
    "PRE": "Direct debit",
    "VAD": "Online payment",
    "due": "Still to pay",
    "net": "Total excluding tax",
    "vat": "VAT",
    "other-tax": "Other tax",
    "stamp": "Revenue stamp",
    "CREDIT_NOTE": "Credit note",
    "DEPOSIT": "Deposit paid",
    "EXCESS RECEIVED": "Paid in excess before",
}
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": _EN,
    "fr": {
        "LIQ": "Espèces",
        "CB": "Carte bancaire",
        "CHQ": "Chèque",
        "VIR": "Virement",
        "PRE": "Prélèvement",
        "VAD": "Paiement en ligne",
        "due": "Reste à payer",
        "net": "Total HT",
        "vat": "TVA",
        "other-tax": "Autre taxe",
        "stamp": "Timbre fiscal",
        "CREDIT_NOTE": "Avoir",
        "DEPOSIT": "Acompte versé",
        "EXCESS RECEIVED": "Trop-perçu",
    },
    "de": {
        "LIQ": "Bar",
        "CB": "Karte",
        "CHQ": "Scheck",
        "VIR": "Überweisung",
        "PRE": "Lastschrift",
        "VAD": "Onlinezahlung",
        "due": "Noch zu zahlen",
        "net": "Summe netto",
        "vat": "MwSt.",
        "other-tax": "Andere Steuer",
        "stamp": "Stempelmarke",
        "CREDIT_NOTE": "Gutschrift",
        "DEPOSIT": "Anzahlung",
        "EXCESS RECEIVED": "Guthaben",
    },
    "it": {
        "LIQ": "Contanti",
        "CB": "Carta",
        "CHQ": "Assegno",
        "VIR": "Bonifico",
        "PRE": "Addebito diretto",
        "VAD": "Pagamento online",
        "due": "Ancora da pagare",
        "net": "Totale imponibile",
        "vat": "IVA",
        "other-tax": "Altra imposta",
        "stamp": "Marca da bollo",
        "CREDIT_NOTE": "Nota di credito",
        "DEPOSIT": "Acconto versato",
        "EXCESS RECEIVED": "Pagato in eccesso",
    },
    "es": {
        "LIQ": "Efectivo",
        "CB": "Tarjeta",
        "CHQ": "Cheque",
        "VIR": "Transferencia",
        "PRE": "Domiciliación",
        "VAD": "Pago en línea",
        "due": "Pendiente de pago",
        "net": "Base imponible",
        "vat": "IVA",
        "other-tax": "Otro impuesto",
        "stamp": "Timbre fiscal",
        "CREDIT_NOTE": "Abono",
        "DEPOSIT": "Anticipo pagado",
        "EXCESS RECEIVED": "Pagado en exceso",
    },
}


def word(name: str, lang: str) -> str | None:
    """Return a word, in English where the language is none of the five."""
    return _WORDS.get(lang.partition("-")[0].lower(), _EN).get(name)
