/* The display channel with the relay as the adversary: channel.md with C7, C8, C20 to C23, C31 to C33
   and C36. What is shown, and what is left out, is in README.md.

   One display, one till, two customers A and B with one ticket each. The relay has every hello and
   every sealed that was ever made, and gives any of them to its receiver at any moment, any number
   of times, or never. It can make neither, nor read them: that is what channel.pv is about.
   The till may be killed and started again, the page hidden or loaded again, at any moment.

   A hello is its key's number and the session that it names; a sealed is a session's number, the
   hello it answers and its content. At most HELLOS and SEALED of them are made in one run.

   The switches that make the design naive (each must have a counterexample):
     NO_IDLE_FIRST   a till seals the present state to any hello (not C32)
     OLD_SESSIONS    a till counts the sessions of its earlier process as its own (not C32)
     NO_CHALLENGE    a display accepts whatever was sealed later than what it accepted last: the hash
                     ratchet that was not chosen (not C6, C7)
     KEEP_KEY        hiding leaves the key alone (not C21, C22)
     KEEP_SCREEN     hiding leaves the screen alone (not C22)
     KEEP_SESSION    hiding leaves the last session alone (not C22)
     SAME_CONTENT    a ticket that is shown again counts as what is shown already, by its content */

#ifndef HELLOS
#define HELLOS 3
#endif
#ifndef SEALED
#define SEALED 3
#endif

#define IDLE 0
#define A    1
#define B    2
#define NONE 0

/* What the relay has. Numbers begin at 1; 0 is none. */
typedef Hello { byte names; byte process; byte tickets };   /* tickets: bit 0 is A, bit 1 is B */
typedef Sealed { byte answers; byte content; byte process; byte showing };
Hello hello[HELLOS + 1];
Sealed sealed[SEALED + 1];
byte hellos = 0, sealeds = 0;

/* The till. `showing` counts how often something was presented, by either process. */
byte process = 1;
byte present = IDLE;
byte showing = 0;
byte customer = A;                  /* whose ticket is next, or present now */
bool again = false;                 /* a ticket was shown a second time */
bool answered[HELLOS + 1];          /* by this process */

/* The display. */
byte key = NONE;                    /* of which hello it has the key */
byte names = NONE;                  /* the last session */
byte painted = IDLE;
bool timed_out = false;             /* its own timer has ended what it accepted last */
byte loads = 1;

/* History, for the properties. Bit 0 is A, bit 1 is B. */
byte since_load = 0;                /* what was present since the page was loaded or hidden */
byte since_hello = 0;               /* what was present since the hello that waits was made */
bool stale = false;                 /* something was accepted that was not present since its hello */
bool too_early = false;             /* a ticket was sealed to a hello older than the till's process */
bool strange = false;               /* a ticket was sealed to a hello that names none of its sessions */
bool two_tickets = false;           /* one hello was answered with both tickets */
bool two_sealed = false;            /* one hello was answered twice */

#define NAMED(h)   sealed[hello[h].names]
#define OURS(h)    (hello[h].names != NONE && NAMED(h).process == process)
#ifdef OLD_SESSIONS
#define KNOWN(h)   (hello[h].names != NONE)
#else
#define KNOWN(h)   OURS(h)
#endif
#ifdef NO_IDLE_FIRST
#define DUE(h)     present
#else
#define DUE(h)     (KNOWN(h) -> present : IDLE)
#endif
#ifdef SAME_CONTENT
#define CARRIED(h, what)  (KNOWN(h) && NAMED(h).content == what)
#else
#define CARRIED(h, what)  (KNOWN(h) && NAMED(h).content == what && \
                           (what == IDLE || NAMED(h).showing == showing))
#endif
#define CURRENT(h)        CARRIED(h, DUE(h))

inline let_be(what) {
  present = what; showing++; since_load = since_load | what; since_hello = since_hello | what
}

proctype Till() {
  byte i = 0;
end:
  do
  :: d_step { present == IDLE && customer <= B -> let_be(customer) }
  :: d_step { present != IDLE -> present = IDLE; customer++ }
  :: d_step { present != IDLE && !again -> again = true; let_be(present) }
  :: d_step { process == 1 -> process = 2;                          /* killed, and started again */
       if :: present != IDLE -> customer++ :: else fi;
       present = IDLE;
       i = 1;
       do :: i <= HELLOS -> answered[i] = false; i++ :: else -> break od;
       i = 0 }
  od
}

/* C31 to C33: the relay gives the till a hello, whenever it likes. */
proctype Judge(byte h) {
end:
  do
  :: d_step { h <= hellos && !answered[h] && !CURRENT(h) && sealeds < SEALED ->
       sealeds++;
       sealed[sealeds].answers = h; sealed[sealeds].process = process;
       sealed[sealeds].showing = showing; sealed[sealeds].content = DUE(h);
       two_sealed = two_sealed || hello[h].tickets != 0;
       hello[h].tickets = hello[h].tickets | sealed[sealeds].content;
       two_tickets = two_tickets || hello[h].tickets == 3;
       if
       :: sealed[sealeds].content != IDLE ->
          too_early = too_early || hello[h].process != process;
          strange = strange || !OURS(h)
       :: else
       fi;
       answered[h] = true }
  od
}

/* The relay gives the display a sealed, whenever it likes. */
proctype Deliver(byte s) {
end:
  do
#ifdef NO_CHALLENGE
  :: d_step { s <= sealeds && key != NONE && s > names ->
#else
  :: d_step { s <= sealeds && key != NONE && sealed[s].answers == key ->
#endif
       stale = stale || (sealed[s].content != IDLE && !(since_hello & sealed[s].content));
       painted = sealed[s].content; timed_out = false; names = s; key = NONE }
  od
}

proctype Display() {
end:
  do
  :: d_step { key == NONE && hellos < HELLOS ->                     /* C7 */
       hellos++; key = hellos; hello[hellos].names = names; hello[hellos].process = process;
       since_hello = present }
  :: d_step { key != NONE -> key = NONE }                           /* C20, C27: 35 s are over */
  :: d_step { painted != IDLE -> painted = IDLE; timed_out = true } /* C23, C40 */
  :: d_step { loads < 2 -> loads++; since_load = present;           /* C22, C24: hidden, or loaded */
#ifndef KEEP_SCREEN
       painted = IDLE;
#endif
#ifndef KEEP_KEY
       key = NONE;
#endif
#ifndef KEEP_SESSION
       names = NONE;
#endif
       timed_out = false }
  od
}

init {
  byte n = 1;
  atomic {
    do :: n <= HELLOS -> run Judge(n); n++ :: else -> break od;
    n = 1;
    do :: n <= SEALED -> run Deliver(n); n++ :: else -> break od;
    n = 0;
    run Till(); run Display()
  }
}

/* C32: a ticket is sealed only to a hello that names a session of this very process. */
#define IDLE_GOES_FIRST        !strange

/* C32: a ticket is sealed only to a hello that was made since this process of the till began. */
#define NO_OLD_HELLO           !too_early

/* C8, C31, C32: no hello is ever answered with the tickets of two customers, though the till was
   killed in between and the relay repeats it; so the relay never has two to choose from. */
#define ONE_TICKET_A_HELLO     !two_tickets

/* C7, C22, C24: a ticket on the screen was present at the till at some moment since the page was
   loaded or hidden; so after that nobody's ticket is painted for the next customer. */
#define NOTHING_FROM_BEFORE    (painted == IDLE || (since_load & painted))

/* C6, C7, C20: a ticket that a display accepts was present at some moment since it said hello. */
#define NOTHING_STALE          !stale

/* C31, C36: a hello that is left waiting names what is on the screen, unless the display's own timer
   has ended that showing; so nobody waits for a ticket that does not come. */
#define WAITING_IS_SHOWN       (key != NONE && present != IDLE && CARRIED(key, present) -> \
                                painted == present || (timed_out && sealed[names].showing == showing))

ltl invariants {
  [] (IDLE_GOES_FIRST && NO_OLD_HELLO && ONE_TICKET_A_HELLO && NOTHING_FROM_BEFORE &&
      NOTHING_STALE && WAITING_IS_SHOWN)
}
ltl idle_goes_first     { [] IDLE_GOES_FIRST }
ltl no_old_hello        { [] NO_OLD_HELLO }
ltl one_ticket_a_hello  { [] ONE_TICKET_A_HELLO }
ltl nothing_from_before { [] NOTHING_FROM_BEFORE }
ltl nothing_stale       { [] NOTHING_STALE }
ltl waiting_is_shown    { [] WAITING_IS_SHOWN }

/* Controls: each denies something that happens, so each must fail. The first is the limit that
   security.md names (an old code stays until 35 s + `for` after its hello was made); the second says
   that across a restart one hello can have a ticket and an idle. */
ltl never_painted_when_over { [] (painted == IDLE || painted == present) }
ltl never_two_sealed        { [] !two_sealed }
ltl never_painted_b         { [] (painted != B) }
ltl never_painted_after_load { [] (loads == 1 || painted == IDLE) }
