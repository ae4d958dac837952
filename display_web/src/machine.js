// The display's machine, version 1: what is painted and when the next hello goes out, by the display's
// rules and their table in spec/channel.md.
// No DOM, no network, no clock, no chance: whoever calls brings readings {wall, mono} of the clocks in
// milliseconds, keys and a number from 0 to 1, paints `shown` whenever `turn` has changed, and says the
// next hello after the milliseconds that a function returns (null: nothing changes about that).

var NO_SESSION = new Uint8Array(32);
var LIFE = { thanks: 10000, live: 120000 };
var SLEPT = 10000;
var EARLY = 20000;
var LONGEST_DELAY = 30;
var LONGEST_ASKED = 120;

function makeMachine(psk) {
  var machine = {
    psk: psk, // null while there is no pairing
    last: NO_SESSION, // the handshake hash of the last session that was accepted
    hello: null, // {state, made}: the one that waits for its sealed
    failures: 0, // in a row
    idle: { kind: 'idle' }, // the last idle content
    turn: 0, // how often something was begun to be shown
    ticked: null, // when the clocks were read last
    hidden: false
  };
  present(machine, machine.idle, null); // C24
  return machine;
}

// Begin to show something.
function present(machine, content, time) {
  machine.shown = content;
  machine.accepted = time;
  machine.until = content.kind === 'ticket' ? 1000 * content.seconds : LIFE[content.kind];
  machine.turn += 1;
}

// C7: the hello that goes out now, with a fresh key {secret, point}; null while hidden or unpaired.
function sayFirst(machine, key, time) {
  dropHello(machine);
  machine.ticked = machine.ticked || time;
  if (!machine.psk || machine.hidden) return null;
  var first = makeHello(machine.psk, key.secret, machine.last, key.point);
  machine.hello = { state: first.state, made: time };
  return first.message;
}

function dropHello(machine) {
  if (machine.hello) erase(machine.hello.state.ephemeral);
  machine.hello = null;
}

// An answer came: its status, its body and its Retry-After.
function hear(machine, status, body, asked, time, chance) {
  var delay = passTime(machine, time);
  if (!machine.hello) return delay;
  if (status === 410) {
    unpairMachine(machine);
    return null;
  }
  if (status === 200) return hearSealed(machine, body, time);
  if (status === 429 || status === 503) return failMachine(machine, asked, time);
  if (status !== 204) return failMachine(machine, null, time);
  var waited = elapsed(machine.hello.made, time);
  dropHello(machine);
  machine.failures = 0;
  return waited < EARLY ? 1000 + 2000 * chance : 0; // C28
}

function hearSealed(machine, sealed, time) {
  var read;
  try {
    read = readSealed(machine.hello.state, sealed);
  } catch (e) {
    return failMachine(machine, null, time);
  }
  dropHello(machine);
  machine.failures = 0;
  machine.last = read.session;
  if (read.content.kind === 'idle') machine.idle = read.content;
  present(machine, read.content, time);
  return 0;
}

// C27: 1 s, doubling to at most 30 s; longer, but not for ever, where the relay asks for it.
function failMachine(machine, asked, time) {
  var delay = Math.min(LONGEST_DELAY, Math.pow(2, machine.failures));
  var seconds = /^[0-9]+$/.test(asked) ? Math.min(+asked, LONGEST_ASKED) : 0;
  dropHello(machine);
  machine.failures += 1;
  // C47: what is not known to be true any more is not shown.
  if (machine.failures > 1 && LIFE[machine.shown.kind]) present(machine, machine.idle, time);
  return 1000 * Math.max(delay, seconds);
}

// Time has passed: what is over ends. To be called twice a second, and before everything else.
function passTime(machine, time) {
  var before = machine.ticked || time;
  machine.ticked = time;
  if (machine.hidden || !machine.psk) return null; // a hidden page is called seldom
  // C45: a clock jumped, or all of it stood still.
  if (time.wall < before.wall || elapsed(before, time) > SLEPT) {
    hideMachine(machine);
    machine.hidden = false;
    return 0;
  }
  if (machine.until && elapsed(machine.accepted, time) >= machine.until) {
    present(machine, machine.idle, time); // C23, C40, C42
  }
  return machine.hello && isStale(machine.hello.made, time) ? failMachine(machine, null, time) : null; // C20
}

// C22: the page was hidden or left.
function hideMachine(machine) {
  dropHello(machine);
  machine.hidden = true;
  machine.last = NO_SESSION;
  present(machine, machine.idle, null);
}

// The page is there again.
function showMachine(machine, time) {
  var was = machine.hidden;
  machine.hidden = false;
  machine.ticked = time;
  return was ? 0 : null; // not where the page is merely loaded: C27 and C28 hold then
}

// C42: who needs longer taps.
function tapMachine(machine, time) {
  if (machine.shown.kind !== 'ticket') return;
  machine.until = prolong(machine.until, elapsed(machine.accepted, time), machine.shown.seconds);
}

// C30
function unpairMachine(machine) {
  dropHello(machine);
  machine.psk = null;
  machine.last = NO_SESSION;
  machine.idle = { kind: 'idle' };
  present(machine, machine.idle, null);
}
