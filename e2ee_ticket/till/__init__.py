"""The till: configuration, paired displays, outbox, and the engine that `send` and agent share."""
