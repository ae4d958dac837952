// Tickets, version 1, first part: from a link to the id that the relay is asked for.
// spec/ticket.md, section by section, in its order and its words; protocol.js is the rest.
// Pure functions: no DOM, no network, no clock. A refusal is an Error whose `code` is the outcome.

// Conventions

function fail(code) {
  var error = new Error(code);
  error.code = code;
  throw error;
}

function ascii(text) {
  var bytes = new Uint8Array(text.length);
  for (var i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function concat(a, b) {
  var bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

// A copy of its own, because engines before 2016 have no slice.
function slice(bytes, start, end) {
  return new Uint8Array(bytes.subarray(start, end));
}

function hex(bytes) {
  var text = '';
  for (var i = 0; i < bytes.length; i++) text += (bytes[i] + 256).toString(16).slice(1);
  return text;
}

// HMAC-SHA-256 (RFC 2104) for keys of up to 64 bytes; all of ours have 32.
function hmac(key, message) {
  var inner = new Uint8Array(64);
  var outer = new Uint8Array(64);
  for (var i = 0; i < 64; i++) {
    inner[i] = 0x36 ^ (key[i] || 0);
    outer[i] = 0x5c ^ (key[i] || 0);
  }
  return hash.sha256(concat(outer, hash.sha256(concat(inner, message))));
}

// Keys

// K(label) = HMAC-SHA-256(key = S, message = label ‖ 0x01)
function derive(secret, label) {
  return hmac(secret, ascii(label + '\x01'));
}

function deriveId(secret) {
  return hex(derive(secret, 'tkt/v1 id')).slice(0, 32);
}

// Link

function parseFragment(fragment, label) {
  // T6: [0-9] and not \d; whatever a scanner added behind the digits is ignored.
  var match = /^#([0-9]{85})(?![0-9])/.exec(fragment);
  return match ? parseDigits(match[1], label) : fail('damaged');
}

function parseDigits(digits, label) {
  if (!/^[0-9]{85}$/.test(digits)) fail('damaged');
  var bytes = new Uint8Array(34);
  for (var i = 0; i < 17; i++) {
    var group = parseInt(digits.substr(5 * i, 5), 10);
    if (group > 65535) fail('damaged'); // T7
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 255;
  }
  var secret = slice(bytes, 0, 32);
  // T8: check = SHA-256("tkt/v1 check" ‖ S)[0:2]
  var check = hash.sha256(concat(ascii(label), secret));
  if (bytes[32] !== check[0] || bytes[33] !== check[1]) fail('damaged');
  return secret;
}
