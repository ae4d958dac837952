/* The life of one ticket at the relay: relay.md with T17, R20 to R22, R37 to R42, R50 to R53, R60 to
   R69, R130 and R131. What is shown, and what is left out, is in README.md.

   One id, one token. Two till requests that upload may be under way at once, and one that revokes.
   Everything on the way may be lost, late or answered to nobody; whoever holds the link may fetch,
   say opened, received and revoked, in any order and at any moment, as often as he likes.

   Time. Only the order of the spans counts, so they are scaled: the 7 days of R131 and of the longest
   TTL are 2 ticks, the 8 days of R20 are 4, one day is 1, and 15 minutes and 60 seconds are less
   than one. What is to happen in a tick may happen at any moment of it, before or after anything
   else in it. A request arrives in the tick in which it was sent or in the next, or never (R14): it
   travels shorter than the 8 days exceed the 7.

   Each step is one d_step, and each says what has happened in `event`; so an LTL formula speaks of
   steps and states alike.

   The switches that make the design naive (each must have a counterexample):
     TOMBSTONE=0, TOMBSTONE=2   a tombstone ends with the expiry, or 7 days after it, not 8 (R20)
     NAIVE_RETRY                a till repeats an upload however old it is (not R131)
     NAIVE_REVOKE               a till revokes without repeating the upload (not R130)
     NAIVE_404                  a till takes the first 404 after an answered upload for an end
     SURE=2                     a till takes a 404 for an end 7 days after sealing, not 8
     ENDLESS_404                a till never takes a 404 for an end
     FORGETFUL_TILL             the wish to revoke dies with the till's process
     DROP_AT_7_DAYS             the outbox drops everything 7 days after sealing, the wish too
     LOOK_FIRST                 the relay looks whether the id is free, and then writes (not R42)
     EARLY_ANSWER               the relay answers before what it says is durable (not R41, R64)
     RENEWING_RETRY             a repeated upload gives the ticket a new expiry (not R39)
     BURN                       fetching deletes (not R53)
     FALLING_STATES             a late `opened` counts after `received` (not R65)
     LAZY_SWEEPER               a ticket is served until a sweeper has come by (not R21)
     LONG_GRACE                 opened and received leave the expiry alone (not R66, R67)
     ONE_REASON                 every tombstone says expired (not R69)
     LATE_REASON                a revoke counts after the expiry, too (not R63)
   and one that bounds what goes wrong, for the property that something does happen:
     TROUBLES=n                 at most n losses, refusals and kills */

#ifndef TOMBSTONE
#define TOMBSTONE 4   /* 8 days (R20) */
#endif
#ifndef SURE
#define SURE      4   /* 8 days after sealing: no upload is under way any more */
#endif
#define WEEK      2   /* 7 days (R131), and the longest TTL */
#define DAY       1   /* after opened (R66) */
#define QUARTER   0   /* 15 minutes after received (R67): some moment of the same tick */
#define END       10  /* later than the end of the last tombstone */

#ifdef TROUBLES
byte troubles = TROUBLES;
#define MAY_FAIL  (troubles > 0)
#define FAILED    troubles--
#else
#define MAY_FAIL  true
#define FAILED    skip
#endif

/* What the relay keeps: the row survives every restart. */
mtype:row = { NONE, STORED, OPENED, RECEIVED, REVOKED };
mtype:row row = NONE;
byte body = 0;        /* which bytes: 1 or 2 */
byte expiry = 0;
byte now = 0;         /* ticks since the ticket was sealed */
bool due = false;     /* the moment of the expiry is over; a sweeper may not have come by */
bool ended = false;   /* a tombstone has ended: history */

#define ABSENT    (row == NONE)
#define TOMB      (row == REVOKED || (row != NONE && due))
#define LIVES     (row != NONE && row != REVOKED && !due)
#ifdef ONE_REASON
#define GONE_RECEIVED false
#define GONE_REVOKED  false
#define GONE_EXPIRED  TOMB
#else
#define GONE_REVOKED  (row == REVOKED)
#define GONE_RECEIVED (row == RECEIVED && due)
#define GONE_EXPIRED  (TOMB && row != RECEIVED && row != REVOKED)
#endif

/* What has happened in the last step. */
mtype:event = { QUIET, SERVED_1, SERVED_2, TOLD_REVOKED, FIRST_OPENED, FIRST_RECEIVED };
mtype:event event = QUIET;
#define SERVED    (event == SERVED_1 || event == SERVED_2)

/* History, for the properties only. */
bool ever_revoked = false, ever_received = false, fetch_changed = false, grew = false;
bool acknowledged_1 = false, acknowledged_2 = false, asked = false;

/* Requests of the till on their way. */
mtype:leg = { FREE, COMING, WRITING, SAYS_STORED, SAYS_TAKEN, SAYS_GONE, SAYS_REFUSED,
              SAYS_DONE, SAYS_ABSENT };
typedef Request { mtype:leg leg = FREE; byte body; byte ttl; bool old };
Request upload[2];
Request revoke;
#define SPEAKS(i) (upload[i].leg == SAYS_STORED || upload[i].leg == SAYS_TAKEN || \
                   upload[i].leg == SAYS_GONE || upload[i].leg == SAYS_REFUSED)
bool revoke_sure = false;   /* that request was sent 8 days after sealing, or later */

/* The till's outbox (durable), and what dies with its process: which answer it waits for. */
bool tried = false;         /* an upload was begun */
bool settled = false;       /* an upload was answered 200, 201, 409 or 410 */
bool answered = false;      /* an upload was answered, whatever it was */
bool wish = false;          /* the cashier wants it revoked */
bool stopped = false;       /* the till does nothing more for this ticket */
#define NOBODY 2
byte waits_for = NOBODY;

#ifdef EARLY_ANSWER
mtype:row disk_row = NONE;
byte disk_body = 0;
byte disk_expiry = 0;
#endif

#ifdef NAIVE_RETRY
#define IN_TIME   true
#else
#define IN_TIME   (now <= WEEK)
#endif

inline acknowledge(i) {
  upload[i].leg = SAYS_STORED;
  if
  :: upload[i].body == 1 -> acknowledged_1 = true
  :: else -> acknowledged_2 = true
  fi
}

inline store(i) {
  row = STORED; body = upload[i].body; expiry = now + upload[i].ttl; due = false;
  acknowledge(i)
}

/* R37 to R42. */
inline put(i) {
  if
  :: TOMB -> upload[i].leg = SAYS_GONE
  :: LIVES && body != upload[i].body -> upload[i].leg = SAYS_TAKEN
  :: LIVES && body == upload[i].body ->
#ifdef RENEWING_RETRY
     if
     :: now + upload[i].ttl > expiry -> grew = true; expiry = now + upload[i].ttl
     :: else
     fi;
#endif
     acknowledge(i)
#ifdef LOOK_FIRST
  :: ABSENT -> upload[i].leg = WRITING
#else
  :: ABSENT -> store(i)
#endif
  fi
}

inline shorten(to) {
#ifndef LONG_GRACE
  if
  :: to < expiry -> expiry = to
  :: else
  fi
#else
  skip
#endif
}

inline become_revoked() {
  row = REVOKED; ever_revoked = true
}

/* The network and the relay's uploads. */
proctype Upload(byte i) {
end:
  do
  :: d_step { upload[i].leg == COMING -> event = QUIET; put(i) }
#ifdef LOOK_FIRST
  :: d_step { upload[i].leg == WRITING -> event = QUIET; store(i) }
#endif
  :: d_step { upload[i].leg == COMING && MAY_FAIL -> event = QUIET; FAILED;
       upload[i].leg = SAYS_REFUSED }                               /* 401, 429, 503, 507 */
  :: d_step { upload[i].leg == COMING && MAY_FAIL -> event = QUIET; FAILED;
       upload[i].leg = FREE; upload[i].body = 0; upload[i].ttl = 0; upload[i].old = false;
       if :: waits_for == i -> waits_for = NOBODY :: else fi }      /* lost on its way */
  :: d_step { SPEAKS(i) &&
              (waits_for != i || MAY_FAIL) -> event = QUIET;
       if :: waits_for == i -> FAILED; waits_for = NOBODY :: else fi;
       upload[i].leg = FREE; upload[i].body = 0; upload[i].ttl = 0;
       upload[i].old = false }                                      /* its answer is lost */
  od
}

/* The till's `revoked` on its way. */
proctype Revoke() {
end:
  do
  :: d_step { revoke.leg == COMING -> event = QUIET; revoke.old = false;
       if
       :: ABSENT -> revoke.leg = SAYS_ABSENT
       :: TOMB -> revoke.leg = SAYS_GONE; event = TOLD_REVOKED;
#ifdef LATE_REASON
          row = REVOKED
#endif
       :: LIVES -> become_revoked(); revoke.leg = SAYS_DONE; event = TOLD_REVOKED
       fi }
  :: d_step { revoke.leg != FREE && MAY_FAIL -> event = QUIET; FAILED;
       revoke.leg = FREE; revoke.old = false; revoke_sure = false }
  od
}

/* Whoever holds the link. He is not waited for, so a request of his that is lost is one not made. */
proctype Phone() {
  bool before;
end:
  do
  :: d_step {                                                       /* R50 to R53 */
#ifdef LAZY_SWEEPER
       row != NONE && row != REVOKED ->
#else
       LIVES ->
#endif
       before = LIVES;
       event = (body == 1 -> SERVED_1 : SERVED_2);
#ifdef BURN
       row = REVOKED; ever_revoked = true;
#endif
       fetch_changed = fetch_changed || (before != LIVES); before = false }
  :: d_step { LIVES && row == STORED -> event = FIRST_OPENED;       /* R66 */
       row = OPENED; shorten(now + DAY) }
  :: d_step { LIVES && row != RECEIVED -> event = FIRST_RECEIVED;   /* R67 */
       row = RECEIVED; ever_received = true; shorten(now + QUARTER) }
#ifdef FALLING_STATES
  :: d_step { LIVES && row == RECEIVED -> event = QUIET; row = OPENED }
#endif
  :: d_step { LIVES -> event = TOLD_REVOKED; become_revoked() }     /* R68 */
  od
}

/* Time passes. Nothing that is to happen in a tick is left to the next. */
proctype Clock() {
end:
  do
  :: d_step { row != NONE && !due && now >= expiry -> event = QUIET; due = true }
  :: d_step { row != NONE && due && now >= expiry + TOMBSTONE -> event = QUIET;
       row = NONE; body = 0; expiry = 0; due = false; ended = true }
  :: d_step { now < END &&
              !(row != NONE && !due && now >= expiry) &&
              !(row != NONE && due && now >= expiry + TOMBSTONE) &&
              !(upload[0].leg == COMING && upload[0].old) &&
              !(upload[1].leg == COMING && upload[1].old) &&
              upload[0].leg != WRITING && upload[1].leg != WRITING &&
              !(revoke.leg == COMING && revoke.old) -> event = QUIET;
       now++;
       upload[0].old = (upload[0].leg == COMING); upload[1].old = (upload[1].leg == COMING);
       revoke.old = (revoke.leg == COMING);
#ifdef DROP_AT_7_DAYS
       if :: now > WEEK -> stopped = true; waits_for = NOBODY :: else fi;
#endif
     }
  od
}

#ifdef EARLY_ANSWER
/* What is answered is on the disk only a while later; a restart begins with the disk. */
proctype Disk() {
end:
  do
  :: d_step { disk_row != row || disk_body != body || disk_expiry != expiry -> event = QUIET;
       disk_row = row; disk_body = body; disk_expiry = expiry }
  :: d_step { MAY_FAIL -> event = QUIET; FAILED;
       row = disk_row; body = disk_body; expiry = disk_expiry; due = (row != NONE && now > expiry) }
  od
}
#endif

inline send(i, b, t) {
  event = QUIET; tried = true; waits_for = i;
  upload[i].leg = COMING; upload[i].body = b; upload[i].ttl = t; upload[i].old = false
}

#define MAY_SEND(i) (!stopped && !settled && waits_for == NOBODY && IN_TIME && \
                     upload[i].leg == FREE && (!wish || !answered))

/* The till. To be killed and started again is to wait for no answer any more. */
proctype Till() {
  bool sure;
end:
  do
  :: d_step { MAY_SEND(0) -> send(0, 1, 0) }
  :: d_step { MAY_SEND(0) -> send(0, 1, WEEK) }
  :: d_step { MAY_SEND(1) -> send(1, 1, WEEK) }
  :: d_step { MAY_SEND(1) -> send(1, 2, WEEK) }             /* a fault: other bytes (T17) */
  :: d_step { waits_for != NOBODY && SPEAKS(waits_for) -> event = QUIET;
       answered = true; settled = (upload[waits_for].leg != SAYS_REFUSED);
       upload[waits_for].leg = FREE; upload[waits_for].body = 0; upload[waits_for].ttl = 0;
       upload[waits_for].old = false; waits_for = NOBODY }
  :: d_step { waits_for != NOBODY && MAY_FAIL -> event = QUIET; FAILED; waits_for = NOBODY;
#ifdef FORGETFUL_TILL
       wish = false;
#endif
     }
  :: d_step { !asked && !stopped -> event = QUIET; asked = true; wish = true; answered = settled;
       stopped = !tried }                                   /* it never left the till */
#ifdef NAIVE_REVOKE
  :: d_step { wish && !stopped && revoke.leg == FREE -> event = QUIET;
#else
  :: d_step { wish && !stopped && revoke.leg == FREE && waits_for == NOBODY &&
              (answered || !IN_TIME) -> event = QUIET;
#endif
       revoke.leg = COMING; revoke_sure = (now >= SURE) }
  :: d_step { revoke.leg == SAYS_DONE || revoke.leg == SAYS_GONE -> event = QUIET;
       revoke.leg = FREE; revoke_sure = false; stopped = true; waits_for = NOBODY }
  :: d_step { revoke.leg == SAYS_ABSENT -> event = QUIET; revoke.leg = FREE;
       sure = revoke_sure; revoke_sure = false;
#ifdef NAIVE_REVOKE
       stopped = true; waits_for = NOBODY
#else
#ifdef NAIVE_404
       stopped = true; waits_for = NOBODY
#else
#ifndef ENDLESS_404
       if
       :: sure -> stopped = true; waits_for = NOBODY
       :: else -> answered = settled                        /* the upload, once more */
       fi;
#endif
#endif
#endif
       sure = false }
  od
}

init {
  atomic {
    run Upload(0); run Upload(1); run Revoke(); run Phone(); run Clock(); run Till();
#ifdef EARLY_ANSWER
    run Disk()
#endif
  }
}

/* The properties. Those about one state at a time, each by its name; the claim `invariants` checks
   them in one run, and each has a claim of its own for the switch that must break it. */

/* R38, R42: of two different bodies at most one is ever acknowledged with 200 or 201. */
#define ONE_BODY_ACKNOWLEDGED  !(acknowledged_1 && acknowledged_2)

/* R53: a fetch leaves a ticket that lives alive. */
#define FETCH_IS_PURE          !fetch_changed

/* R69: a tombstone says revoked if and only if a revoke was accepted; received if that was said and
   it was not revoked; else expired. */
#define GONE_HAS_ITS_REASON    (TOMB -> ((GONE_REVOKED && ever_revoked) || \
                                         (GONE_RECEIVED && ever_received && !ever_revoked) || \
                                         (GONE_EXPIRED && !ever_received && !ever_revoked)))

/* R20, R41: what was acknowledged is there, as ticket or as tombstone, until the tombstone ends. */
#define ACKNOWLEDGED_IS_KEPT   ((acknowledged_1 || acknowledged_2) && !ended -> row != NONE)

/* R64, R68: a revoke that was accepted is not undone by a restart. */
#define REVOKED_IS_KEPT        (ever_revoked && !ended -> row == REVOKED)

/* R39: nothing prolongs a ticket's life. */
#define LIFE_NEVER_GROWS       !grew

/* R66, R67: after the first opened a day is left at most, after received a quarter of an hour. */
#define STATES_SHORTEN_LIFE    ((event == FIRST_OPENED -> expiry <= now + DAY) && \
                                (event == FIRST_RECEIVED -> expiry <= now + QUARTER))

/* R21: nothing is served after its expiry, whether or not a sweeper has come by. */
#define EXPIRED_IS_NOT_SERVED  (SERVED -> !due)

/* R20, R131: no upload is still under way when a tombstone ends. */
#define NO_UPLOAD_OUTLIVES     !(ended && (upload[0].leg == COMING || upload[1].leg == COMING))

/* R20, R37, R131: an id has one life; what was stored and has been is never stored again. */
#define ONE_LIFE               (ended -> row == NONE)

ltl invariants {
  [] (ONE_BODY_ACKNOWLEDGED && FETCH_IS_PURE && GONE_HAS_ITS_REASON && ACKNOWLEDGED_IS_KEPT &&
      REVOKED_IS_KEPT && LIFE_NEVER_GROWS && STATES_SHORTEN_LIFE && EXPIRED_IS_NOT_SERVED &&
      NO_UPLOAD_OUTLIVES && ONE_LIFE)
}
ltl one_body_acknowledged { [] ONE_BODY_ACKNOWLEDGED }
ltl fetch_is_pure         { [] FETCH_IS_PURE }
ltl gone_has_its_reason   { [] GONE_HAS_ITS_REASON }
ltl acknowledged_is_kept  { [] ACKNOWLEDGED_IS_KEPT }
ltl revoked_is_kept       { [] REVOKED_IS_KEPT }
ltl life_never_grows      { [] LIFE_NEVER_GROWS }
ltl states_shorten_life   { [] STATES_SHORTEN_LIFE }
ltl expired_is_not_served { [] EXPIRED_IS_NOT_SERVED }
ltl no_upload_outlives    { [] NO_UPLOAD_OUTLIVES }
ltl one_life              { [] ONE_LIFE }

/* Those about what follows. */

/* R20, R37, R51, R131: once a ticket is a tombstone, its id serves nothing ever again, not even
   after the tombstone itself has ended. */
ltl no_resurrection { [] (TOMB -> [] !SERVED) }

/* R38, R42, T17: whatever a till uploads under one id, only one body is ever served. */
ltl one_body_served {
  ([] (event == SERVED_1 -> [] (event != SERVED_2))) &&
  ([] (event == SERVED_2 -> [] (event != SERVED_1)))
}

/* R37, R63, R69: a tombstone's reason never changes. */
ltl reason_stays {
  ([] (GONE_REVOKED -> [] (!GONE_RECEIVED && !GONE_EXPIRED))) &&
  ([] (GONE_RECEIVED -> [] (!GONE_REVOKED && !GONE_EXPIRED))) &&
  ([] (GONE_EXPIRED -> [] (!GONE_REVOKED && !GONE_RECEIVED)))
}

/* R39, R65, R68: after opened a ticket is never stored again, after received neither stored nor
   opened, after revoked none of them. */
ltl states_only_go_up {
  ([] (row == OPENED -> [] (row != STORED))) &&
  ([] (row == RECEIVED -> [] (row != STORED && row != OPENED))) &&
  ([] (row == REVOKED -> [] (row == REVOKED || row == NONE)))
}

/* R37, R63, R68: after a revoke was answered 204 or 410, the bytes are never served. */
ltl revoked_is_never_served { [] (event == TOLD_REVOKED -> [] !SERVED) }

/* R130, R131: when a till that was asked to revoke does nothing more, the bytes are never served. */
ltl stopped_is_never_served { [] (asked && stopped -> [] !SERVED) }

/* R130, with TROUBLES and weak fairness: a till that was asked to revoke comes to an end. */
ltl revoking_ends { [] (asked -> <> stopped) }

/* Controls: each denies something that happens, so each must fail. */
ltl never_fetched_after_received { [] (row == RECEIVED -> !SERVED) }
ltl never_taken { [] (upload[0].leg != SAYS_TAKEN && upload[1].leg != SAYS_TAKEN) }
ltl never_gone_received { [] !GONE_RECEIVED }
ltl never_gone_expired { [] !GONE_EXPIRED }
ltl never_revoked_by_till { [] (revoke.leg != SAYS_DONE) }
ltl never_overtaken { [] !(revoke.leg == SAYS_ABSENT && upload[0].leg == COMING) }
ltl never_late_gone { [] !(ever_received && now > DAY && upload[0].leg == SAYS_GONE) }
ltl never_ended { [] !ended }
