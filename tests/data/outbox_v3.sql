-- The till's outbox, version 3. This file is a privacy statement: what is not listed here is not
-- kept. No ticket's secret, no link and no key is ever written: whoever copies this file can read
-- the receipts that are still here, and open no envelope.
--
-- Deleted bytes are overwritten (secure_delete). The file belongs to its user alone.

CREATE TABLE receipts (
    receipt_number INTEGER PRIMARY KEY AUTOINCREMENT, -- counts this till's receipts; means nothing
    till        TEXT    NOT NULL, -- which till it came from, by the configuration's name
    accepted_at REAL    NOT NULL, -- when, in seconds since 1970 by this computer's clock
    fields      TEXT,             -- title, total, number, issued, lang and name, as JSON;
    receipt     BLOB,             -- and the PDF: both until the ticket was opened, revoked or
                                  -- has expired, or the cashier let it go; a day at the latest
    source      TEXT    NOT NULL DEFAULT '', -- which source it came from, by the configuration's name
    source_key  TEXT,             -- SHA-256 of what the source calls it, so that it comes once only
    paper       BLOB,             -- what a receipt printer would have got; as long as the PDF
    outcome     TEXT              -- how it ended, or NULL: it has not yet
        CHECK (outcome IN
            ('opened', 'received', 'revoked', 'expired', 'failed', 'paper', 'reported'))
) STRICT;

CREATE UNIQUE INDEX receipts_come_once ON receipts (source, source_key);

CREATE TABLE tickets (
    id          TEXT    PRIMARY KEY, -- the envelope's name at the relay, 32 hex digits
    receipt_number INTEGER NOT NULL REFERENCES receipts ON DELETE CASCADE,
    envelope    BLOB,             -- the sealed ticket: until the relay has it, or has refused it for
                                  -- good, and the receipt is let go; at once where the sale ended on
                                  -- paper or was revoked before any upload began
    token       BLOB    NOT NULL, -- lets this till ask for the ticket's state and revoke it; opens nothing
    keep_seconds INTEGER,         -- how long the relay is asked to keep it; NULL: the relay's default
    sealed_at   REAL    NOT NULL, -- when; the entry is dropped 7 days later (R131), 8 if
                                  -- it is still to be revoked (R132)
    state       TEXT    NOT NULL  -- sealed, or what the relay said last; failed: it refused it for good
        CHECK (state IN ('sealed', 'stored', 'opened', 'received', 'revoked', 'expired', 'failed')),
    tried       INTEGER NOT NULL DEFAULT 0, -- whether an upload was ever begun (R130)
    revoke      INTEGER NOT NULL DEFAULT 0, -- whether the cashier wants it revoked
    claimed_by  TEXT,             -- which process is at it: a random name
    claimed_until REAL,           -- and until when others leave it alone
    uploaded_at REAL              -- when the relay said first that it has it
) STRICT;

-- What a sale's state and its sentences on the console are worked out of, beside its tickets.

CREATE TABLE showings (           -- every time that a code could be seen; as long as its receipt's row
    receipt_number INTEGER NOT NULL REFERENCES receipts ON DELETE CASCADE,
    place       TEXT    NOT NULL, -- the display, by the till's name for it; '': the till's own screen
    shown_from  REAL    NOT NULL, -- when the display confirmed it, or the till's screen drew it
    shown_until REAL              -- when it was taken off; NULL: it is on, or the till ended before
) STRICT;

CREATE INDEX showings_of_a_receipt ON showings (receipt_number);

CREATE TABLE reasons (            -- what the cashier must know of a sale; as long as its receipt's row
    receipt_number INTEGER NOT NULL REFERENCES receipts ON DELETE CASCADE,
    reason      TEXT    NOT NULL, -- which: reasons.py says what each means
    detail      TEXT,             -- what relay, printer or page audit said; nothing of the receipt
    hint        TEXT,             -- and what they said is to be done
    since       REAL    NOT NULL, -- when it began
    until       REAL,             -- when it ended; NULL while it is open
    PRIMARY KEY (receipt_number, reason)
) STRICT;

CREATE TABLE refusals (           -- receipts that were not accepted, until somebody has seen to them
    refusal_number INTEGER PRIMARY KEY AUTOINCREMENT, -- counts them; means nothing
    refused_at  REAL    NOT NULL, -- when it came first
    till        TEXT    NOT NULL, -- which till it was for, and
    source      TEXT    NOT NULL, -- which source it came from, by their names
    fields      TEXT,             -- as in receipts; a day at the latest
    digest      TEXT    NOT NULL UNIQUE, -- SHA-256 of its source, till and bytes: each is one
    why         TEXT    NOT NULL  -- what its source was told
) STRICT;

CREATE TABLE cursors (
    source      TEXT    PRIMARY KEY, -- a source, by the configuration's name
    cursor      TEXT    NOT NULL     -- where it goes on after a restart, such as an invoice's row
) STRICT;

CREATE INDEX tickets_of_a_receipt ON tickets (receipt_number);
