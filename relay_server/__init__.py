"""The relay of e2ee-ticket: it carries envelopes that it cannot open (spec/relay.md)."""

__version__ = "0.2.0"
