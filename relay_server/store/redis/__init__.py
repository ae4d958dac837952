"""The store that any number of relays share."""
