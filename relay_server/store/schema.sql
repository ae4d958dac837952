-- All that a relay writes down, and why. There is no other table or column, and one file beside it:
-- FILE.known has the newest time that the relay saw, since when the machine runs, and the relay's own
-- settings, so that a wrong clock and a database that is gone are noticed.
--
-- Not here, because the relay never writes them: addresses, times of any request, names of shops
-- (but for the name that an operator gives to a permit), hellos and answers of displays, tokens,
-- permits, secrets. Not here either, because the relay never has them: anything that opens an envelope.
--
-- All times are by the relay's own clock. Deleted bytes are overwritten (PRAGMA secure_delete).

CREATE TABLE tickets (
    -- Where the ticket's envelope is found: 16 bytes that say nothing about the receipt. The till derives
    -- them from the ticket's secret, one way.
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    -- How far the ticket has come: 0 stored, 1 opened, 2 received, 3 revoked. It decides how long the
    -- envelope is kept, and is what the till may ask.
    state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    -- SHA-256 of the ticket's token, to tell who may change the state. Bytes 8 to 39 of the envelope.
    token_hash BLOB    NOT NULL CHECK (length(token_hash) = 32),
    -- When the envelope ends, in seconds since 1970. Eight days later this row ends.
    expiry     INTEGER NOT NULL,
    -- The sealed ticket, which the relay cannot open; NULL makes the row a tombstone.
    envelope   BLOB
) STRICT;

CREATE INDEX tickets_that_expire ON tickets (expiry) WHERE envelope IS NOT NULL;
CREATE INDEX tombstones_that_end ON tickets (expiry) WHERE envelope IS NULL;

CREATE TABLE channels (
    -- The channel's name: 16 bytes that the till derives from the pairing secret, one way.
    cid        BLOB    NOT NULL PRIMARY KEY CHECK (length(cid) = 16),
    -- SHA-256 of the token that lets a display say hello; NULL once the channel was unpaired.
    read_hash  BLOB    CHECK (length(read_hash) = 32),
    -- SHA-256 of the token that lets the till answer; NULL once the channel was unpaired.
    write_hash BLOB    CHECK (length(write_hash) = 32),
    -- The day (since 1970) on which till or display last asked; after 90 days the row ends. NULL once the
    -- channel was unpaired: then the row stays for good, so that the display learns that it was.
    polled_day INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX channels_by_day ON channels (polled_day) WHERE polled_day IS NOT NULL;

CREATE TABLE permits (
    -- What the operator calls whoever got the permit.
    name       TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of the permit; the permit itself was shown once and is not kept.
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- The day (since 1970) on which it was given, for the operator's list.
    added_day  INTEGER NOT NULL,
    -- How much it may be used for in an hour; NULL is as much as the relay can do. How much it *was* used
    -- for is not here: that is counted in memory, and forgotten with it.
    uploads_per_hour INTEGER,
    bytes_per_hour   INTEGER
) STRICT, WITHOUT ROWID;
