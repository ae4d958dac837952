// Tickets, version 1, second part: from an envelope to its ticket, after link.js.
// Pure functions: no DOM, no network, no clock. A refusal is an Error whose `code` is the outcome.

// Conventions

function equal(a, b) {
  var difference = a.length ^ b.length;
  for (var i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

function isZeros(bytes) {
  var all = 0;
  for (var i = 0; i < bytes.length; i++) all |= bytes[i];
  return all === 0;
}

// Keys

function deriveKeys(secret) {
  var tok = derive(secret, 'tkt/v1 token');
  return {
    key: derive(secret, 'tkt/v1 key'),
    tok: tok,
    th: hash.sha256(tok)
  };
}

// Ticket

var HEADER_SIZE = 4096;
var LIMITS = { title: 200, total: 64, number: 64, issued: 64, lang: 35 };
var PART_LIMITS = { type: 100, name: 200 };

// Envelope

var MAGIC = ascii('tkt/v1\r\n');
var LENGTHS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096];

function isLength(length) {
  for (var i = 0; i < LENGTHS.length; i++) if (length === LENGTHS[i] * 1024) return true;
  return false;
}

function hasMagic(envelope) {
  return equal(envelope.subarray(0, 8), MAGIC);
}

// Reading an envelope

function unseal(envelope, keys) {
  if (!isLength(envelope.length)) fail('length'); // T20
  if (!hasMagic(envelope)) fail('version'); // T21
  if (!equal(envelope.subarray(8, 40), keys.th)) fail('wrong-key'); // T22
  var plaintext = cipher.open(
    keys.key,
    envelope.subarray(40, 52),
    envelope.subarray(52),
    envelope.subarray(0, 52)
  );
  if (!plaintext) fail('aead'); // T23
  return readTicket(plaintext);
}

function u32(bytes, at) {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

// M = u32 header length ‖ u32 body length ‖ header ‖ body ‖ zeros
function readTicket(plaintext) {
  var headerLength = u32(plaintext, 0);
  var bodyLength = u32(plaintext, 4);
  var end = 8 + headerLength + bodyLength;
  if (headerLength > HEADER_SIZE || end > plaintext.length) fail('framing'); // T24
  if (!isZeros(plaintext.subarray(end))) fail('framing'); // T25
  var header = parseJSON(plaintext.subarray(8, 8 + headerLength));
  var body = plaintext.subarray(8 + headerLength, end);
  var ticket = texts(header, LIMITS);
  var parts = ticket.parts = readParts(member(header, 'parts'), body);
  ticket.receipt = parts[0];
  ticket.preview = null;
  // T12: the first picture after the receipt is the preview.
  for (var i = parts.length - 1; i > 0; i--) {
    if (parts[i].type === 'image/png') ticket.preview = parts[i];
  }
  return ticket;
}

function readParts(list, body) {
  if (!isArray(list) || list.length < 1 || list.length > 8) fail('framing'); // T31
  var parts = [];
  var at = 0;
  for (var i = 0; i < list.length; i++) {
    if (!isObject(list[i])) fail('framing'); // T31
    var part = texts(list[i], PART_LIMITS);
    var length = member(list[i], 'length');
    if (part.type === undefined || !isInteger(length, 0, body.length)) fail('framing'); // T31, T32
    part.body = body.subarray(at, (at += length));
    parts.push(part);
  }
  if (at !== body.length) fail('framing'); // T33
  if (parts[0].type !== 'application/pdf') fail('framing'); // T34
  return parts;
}

// JSON, as strictly as T26 to T32 ask for

function parseJSON(bytes) {
  var text = decodeUTF8(bytes);
  var plain = scan(text);
  var value;
  try {
    JSON.parse(text); // T29; a byte order mark (T26) is none of its white space
    value = JSON.parse(plain); // T30
  } catch (e) {
    fail('framing');
  }
  return isObject(value) ? value : fail('framing');
}

// T26: shortest forms only, no surrogates, nothing above U+10FFFF.
function decodeUTF8(bytes) {
  var text = '';
  var i = 0;
  while (i < bytes.length) {
    var point = bytes[i++];
    var more = point < 0x80 ? 0 : point < 0xc2 ? 9 : point < 0xe0 ? 1 : point < 0xf0 ? 2 : point < 0xf5 ? 3 : 9;
    if (more > 3 || i + more > bytes.length) fail('framing');
    if (more) point &= 0x3f >> more;
    for (var n = more; n > 0; n--) {
      if ((bytes[i] & 0xc0) !== 0x80) fail('framing');
      point = (point << 6) | (bytes[i++] & 0x3f);
    }
    if (more > 1 && point < (more > 2 ? 0x10000 : 0x800)) fail('framing');
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) fail('framing');
    text += point < 0x10000
      ? String.fromCharCode(point)
      : String.fromCharCode(0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
  }
  return text;
}

// T27, T28 and T32 look at the text, because parsers differ in what they still show of it. A number
// that is not written as lengths are becomes one that is no length.
function scan(text) {
  var depth = 0;
  return text.replace(/"(\\.|[^"\\])*"?|[[\]{}]|-?\d[\d.eE+-]*/g, function (token) {
    if (/^[[{]/.test(token) && ++depth > 8) fail('framing'); // T27
    if (/^[\]}]/.test(token)) depth--;
    if (LONE.test(token.replace(PAIRED, ''))) fail('framing'); // T28
    return /^-|^\d.*\D/.test(token) ? -1 : token;
  });
}

var PAIRED = /\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\[^u]/g;
var LONE = /\\u[dD][89a-fA-F]/;

function isArray(value) {
  return Object.prototype.toString.call(value) === '[object Array]';
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !isArray(value);
}

function isInteger(value, least, most) {
  return typeof value === 'number' && value >= least && value <= most;
}

// Only what the object itself holds: an inherited name is no member.
function member(object, name) {
  return Object.prototype.hasOwnProperty.call(object, name) ? object[name] : undefined;
}

// T31: texts are counted in code points.
function isText(value, limit) {
  return typeof value === 'string' &&
    value.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '.').length <= limit;
}

function texts(object, limits) {
  var found = {};
  for (var name in limits) {
    var value = member(object, name);
    if (value !== undefined && !isText(value, limits[name])) fail('framing');
    found[name] = value;
  }
  return found;
}

// T37: the plain name that is left of a proposed one.
function plainName(name) {
  var plain = (name || '')
    .replace(/^[^]*[\/\\]/, '')
    .replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"*:<>?|]/g, '')
    .replace(/\.pdf$/i, '')
    .replace(/^[ .]+/, '')
    .replace(/^((?:[\ud800-\udbff][\udc00-\udfff]|[^]){100})[^]*/, '$1')
    .replace(/[ .]+$/, '');
  return (plain || 'receipt') + '.pdf';
}
