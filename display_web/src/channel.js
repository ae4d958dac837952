// The display channel, version 1: spec/channel.md, the display's side, in its order and its words.
// Pure functions: no DOM, no network, no clock; whoever calls brings the ephemeral key.

// Pairing

function derivePairingKeys(pairing) {
  return {
    cid: hex(slice(derive(pairing, 'dsp/v1 id'), 0, 16)),
    rtok: derive(pairing, 'dsp/v1 read'),
    psk: derive(pairing, 'dsp/v1 psk')
  };
}

// Noise_NNpsk0_25519_ChaChaPoly_SHA256: the symmetric state, revision 34, section 5

var EMPTY = new Uint8Array(0);

function symmetricState(prologue) {
  var h = hash.sha256(ascii('Noise_NNpsk0_25519_ChaChaPoly_SHA256'));
  var state = { ck: h, h: h, k: null };
  mixHash(state, prologue);
  return state;
}

function mixHash(state, data) {
  state.h = hash.sha256(concat(state.h, data));
}

function hkdf(ck, input, count) {
  var key = hmac(ck, input);
  var outputs = [];
  var last = EMPTY;
  for (var i = 1; i <= count; i++) {
    last = hmac(key, concat(last, new Uint8Array([i])));
    outputs.push(last);
  }
  return outputs;
}

function mixKey(state, input) {
  var outputs = hkdf(state.ck, input, 2);
  state.ck = outputs[0];
  state.k = outputs[1];
}

function mixKeyAndHash(state, input) {
  var outputs = hkdf(state.ck, input, 3);
  state.ck = outputs[0];
  mixHash(state, outputs[1]);
  state.k = outputs[2];
}

// Every key of this handshake seals once, so the nonce is always zero.
var NONCE = new Uint8Array(12);

function encryptAndHash(state, plaintext) {
  var sealed = cipher.seal(state.k, NONCE, plaintext, state.h);
  mixHash(state, sealed);
  return sealed;
}

function decryptAndHash(state, sealed) {
  var plaintext = cipher.open(state.k, NONCE, sealed, state.h);
  if (!plaintext) fail('aead'); // C12
  mixHash(state, sealed);
  return plaintext;
}

// -> psk, e. The public half of the ephemeral key may have been made before, while nobody waited.
function writeFirst(prologue, psk, ephemeral, payload, made) {
  var state = symmetricState(prologue);
  mixKeyAndHash(state, psk);
  var e = made || x25519.scalarMultBase(ephemeral);
  mixHash(state, e);
  mixKey(state, e);
  state.ephemeral = ephemeral;
  return { state: state, message: concat(e, encryptAndHash(state, payload)) };
}

// <- e, ee
function readSecond(state, message) {
  var re = slice(message, 0, 32);
  mixHash(state, re);
  mixKey(state, re);
  var shared = x25519.scalarMult(state.ephemeral, re);
  if (isZeros(shared)) fail('aead'); // C11: the X25519 of JavaScript does not refuse it itself.
  mixKey(state, shared);
  return decryptAndHash(state, slice(message, 32, SEALED_SIZE));
}

// Hello and sealed

var PROLOGUE = ascii('dsp/v1');
var HELLO_SIZE = 80;
var SEALED_SIZE = 512;
var JSON_SIZE = 462;

// C6: message 1. `last` is the handshake hash of the last accepted session, else 32 zeros.
function makeHello(psk, ephemeral, last, made) {
  return writeFirst(PROLOGUE, psk, ephemeral, last, made);
}

// Message 2, against the state that hello() made. C7: that state serves once, whatever comes of it.
function readSealed(state, sealed) {
  try {
    if (sealed.length !== SEALED_SIZE) fail('length'); // C10
    var payload = readSecond(state, sealed);
    return { content: readContent(payload), session: state.h };
  } finally {
    erase(state.ephemeral);
  }
}

function erase(bytes) {
  for (var i = 0; i < bytes.length; i++) bytes[i] = 0;
}

// payload = u16 n ‖ JSON of n bytes ‖ zeros
function readContent(payload) {
  var n = (payload[0] << 8) | payload[1];
  if (n > JSON_SIZE || !isZeros(payload.subarray(2 + n))) fail('framing'); // C13
  return checkContent(parseJSON(payload.subarray(2, 2 + n)));
}

var KINDS = ['tkt', 'live', 'thanks', 'idle'];
var WITH_TICKET = { no: 40, time: 40, total: 40 };
var WITH_ANY = { name: 60, lang: 35, notice: 2 };

// C14, C15: the table. Members it does not name are not copied.
function checkContent(json) {
  var content = texts(json, WITH_ANY);
  var value;
  for (var i = 0; i < KINDS.length; i++) {
    if (member(json, KINDS[i]) !== undefined) {
      if (content.kind) fail('framing');
      content.kind = KINDS[i] === 'tkt' ? 'ticket' : KINDS[i];
      value = json[KINDS[i]];
    }
  }
  if (!content.kind) fail('framing');
  if (content.notice !== undefined && !/^[A-Z]{2}$/.test(content.notice)) fail('framing');
  if (content.kind === 'ticket') {
    checkTicket(content, json, value);
  } else if (content.kind === 'live') {
    content.live = checkLive(value);
  } else if (value !== true) {
    fail('framing');
  }
  return content;
}

function checkTicket(content, json, digits) {
  var found = texts(json, WITH_TICKET);
  for (var name in found) content[name] = found[name];
  content.seconds = member(json, 'for');
  if (!isInteger(content.seconds, 1, 120)) fail('framing');
  if (typeof digits !== 'string') fail('framing');
  try {
    parseDigits(digits, 'tkt/v1 check');
  } catch (e) {
    fail('framing');
  }
  content.digits = digits;
}

function checkLive(lines) {
  if (!isArray(lines) || lines.length < 1 || lines.length > 8) fail('framing');
  for (var i = 0; i < lines.length; i++) if (!isText(lines[i], 40)) fail('framing');
  return lines;
}

// The display's rules

var HELLO_LIFE = 35000;

// C20, C21: `made` and `now` are readings {wall, mono} of the clocks in milliseconds; mono is
// undefined where there is no monotonic clock.
function elapsed(made, now) {
  var wall = now.wall - made.wall;
  return now.mono === undefined ? wall : Math.max(wall, now.mono - made.mono);
}

function isStale(made, now) {
  return now.wall < made.wall || elapsed(made, now) >= HELLO_LIFE;
}

var LONGEST_TICKET = 300000;

// C42: how long a ticket of `seconds` is shown that was tapped `passed` milliseconds after it was
// accepted, and was to be shown for `until`.
function prolong(until, passed, seconds) {
  return Math.max(until, Math.min(passed + 1000 * seconds, LONGEST_TICKET));
}
