"""Small drawings, one for each state, so that no state is told by colour alone."""

from typing import Final

from e2ee_ticket.till.console.markup import Html, raw

_SHAPES: Final = {
    "checking": '<path d="M5 12h.2M12 12h.2M19 12h.2"/>',
    "held": '<path d="M9 6v12M15 6v12"/>',
    "sending": '<path d="M12 19V6M6 12l6-6 6 6"/>',
    "sent": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "shown": '<rect x="3.5" y="5" width="17" height="11.5" rx="1.5"/><path d="M8 20h8"/>',
    "opened": '<path d="M2.5 12S6 5.8 12 5.8 21.5 12 21.5 12 18 18.2 12 18.2 2.5 12 2.5 12z"/>'
    '<circle cx="12" cy="12" r="2.6"/>',
    "saved": '<path d="M12 4v10M7.5 10l4.5 4.5 4.5-4.5M5 19.5h14"/>',
    "expired": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5.4l3.4 2"/>',
    "revoked": '<path d="M9 7L4.5 11.5 9 16M5 11.5h9.5a5 5 0 010 8.5H11"/>',
    "failed": '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>',
    "paper": '<path d="M6 3.5h12v17l-2.4-1.8-1.8 1.8-1.8-1.8-1.8 1.8-1.8-1.8L6 20.5z"/>'
    '<path d="M9.5 8h5M9.5 12h5"/>',
    "left": '<path d="M5 12h14"/>',
    "warning": '<path d="M12 3.8L22 20.2H2z"/><path d="M12 10v4.6M12 17.2v.3"/>',
    "well": '<circle cx="12" cy="12" r="9"/><path d="M7.8 12.4l3 3 5.6-6.2"/>',
    "code": '<path d="M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2.5v2.5H14zM20 14v6h-4"/>',
    "source": '<path d="M12 3.5v10M8 9.5l4 4 4-4M4 14v6h16v-6"/>',
    "relay": '<path d="M4 8.5h14l-3.5-3.5M20 15.5H6l3.5 3.5"/>',
    "next": '<path d="M9.5 5.5L16 12l-6.5 6.5"/>',
    "back": '<path d="M14.5 5.5L8 12l6.5 6.5"/>',
    "settings": '<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2.2"/>'
    '<circle cx="9" cy="17" r="2.2"/>',
    "printer": '<path d="M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z"/>',
}


def icon(name: str) -> Html:
    """Draw one; what it means always stands beside it in words."""
    return raw(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">'
        f"{_SHAPES[name]}</svg>"
    )
