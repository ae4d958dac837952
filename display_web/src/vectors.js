// Runs the specification's vectors (spec/vectors/README.md) against protocol.js, channel.js and machine.js.
// What a till does, sealing and answering, is here for the vectors only; no page has it.

function bytesOf(text) {
  var bytes = new Uint8Array(text.length / 2);
  for (var i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.substr(2 * i, 2), 16);
  return bytes;
}

function differs(what, found, wanted) {
  if (found === wanted) return '';
  return what + ' is ' + String(found).slice(0, 200) + ', not ' + String(wanted).slice(0, 200) + '. ';
}

function outcome(attempt) {
  try {
    attempt();
    return 'ok';
  } catch (e) {
    return e.code || String(e);
  }
}

// links.json

function formatDigits(secret, label) {
  var words = concat(secret, hash.sha256(concat(ascii(label), secret)).subarray(0, 2));
  var digits = '';
  for (var i = 0; i < 17; i++) {
    digits += ('0000' + (words[2 * i] * 256 + words[2 * i + 1])).slice(-5);
  }
  return digits;
}

var LINKS = {
  format: function (vector) {
    return differs('digits', formatDigits(bytesOf(vector.secret), vector.label), vector.digits);
  },
  parse: function (vector) {
    var secret;
    var found = outcome(function () {
      secret = parseFragment(vector.fragment, vector.label);
    });
    return differs('outcome', found, vector.expect) +
      (secret ? differs('secret', hex(secret), vector.secret) : '');
  },
  whole: function () {
    return ''; // a page reads its own fragment alone
  },
  qr: function (vector) {
    if (typeof qrcode === 'undefined') return '';
    var modules = qrcode.make(vector.prefix, vector.digits).getModuleCount();
    return differs('modules', modules, vector.modules) +
      differs('version', (modules - 17) / 4, vector.version);
  }
};

// keys.json

var KEYS = {
  ticket: function (vector) {
    var keys = deriveKeys(bytesOf(vector.secret));
    return differs('id', deriveId(bytesOf(vector.secret)), vector.id) +
      differs('key', hex(keys.key), vector.key) +
      differs('nkey', hex(deriveNonceKey(bytesOf(vector.secret))), vector.nkey) +
      differs('tok', hex(keys.tok), vector.tok) +
      differs('th', hex(keys.th), vector.th);
  },
  pairing: function (vector) {
    var keys = derivePairingKeys(bytesOf(vector.secret));
    return differs('cid', keys.cid, vector.cid) +
      differs('rtok', hex(keys.rtok), vector.rtok) +
      differs('psk', hex(keys.psk), vector.psk);
  }
};

// envelopes.json

function plaintextOf(pieces, size) {
  var plaintext = new Uint8Array(size);
  var at = 0;
  for (var i = 0; i < pieces.length; i++) {
    var piece = typeof pieces[i] === 'string' ? [pieces[i], 1] : pieces[i];
    var bytes = bytesOf(piece[0]);
    for (var n = 0; n < piece[1]; n++) {
      plaintext.set(bytes, at);
      at += bytes.length;
    }
  }
  return plaintext;
}

// The phone never seals.
function deriveNonceKey(secret) {
  return derive(secret, 'tkt/v1 nonce');
}

function sealEnvelope(secret, plaintext) {
  var keys = deriveKeys(secret);
  var nonce = hmac(deriveNonceKey(secret), plaintext).subarray(0, 12);
  var start = concat(concat(MAGIC, keys.th), nonce);
  return concat(start, cipher.seal(keys.key, nonce, plaintext, start));
}

function change(bytes, vector) {
  var changes = vector.xor || [];
  if (typeof changes[0] === 'number') changes = [changes];
  bytes = slice(bytes, 0, bytes.length);
  for (var i = 0; i < changes.length; i++) {
    var mask = bytesOf(changes[i][1]);
    for (var n = 0; n < mask.length; n++) bytes[changes[i][0] + n] ^= mask[n];
  }
  if (vector.replace_key) bytes.set(bytesOf(vector.replace_key));
  if (vector.cut !== undefined) bytes = slice(bytes, 0, vector.cut);
  return vector.append ? concat(bytes, bytesOf(vector.append)) : bytes;
}

function checkEnvelope(vector) {
  var plaintext = plaintextOf(vector.plaintext, vector.size - 68);
  var envelope = sealEnvelope(bytesOf(vector.secret), plaintext);
  var trouble = differs('nonce', hex(envelope.subarray(40, 52)), vector.nonce) +
    differs('tag', hex(envelope.subarray(envelope.length - 16)), vector.tag) +
    differs('sha256', hex(hash.sha256(envelope)), vector.sha256);
  var ticket;
  var found = outcome(function () {
    ticket = unseal(change(envelope, vector), deriveKeys(bytesOf(vector.reader || vector.secret)));
  });
  trouble += differs('outcome', found, vector.expect);
  return ticket && vector.ticket ? trouble + checkTicketOf(ticket, vector.ticket) : trouble;
}

function checkTicketOf(ticket, wanted) {
  var trouble = '';
  for (var name in LIMITS) trouble += differs(name, ticket[name], wanted[name]);
  return trouble + differs('name', plainName(ticket.receipt.name), wanted.name) +
    differs('length', ticket.receipt.body.length, wanted.receipt_length) +
    differs('receipt', hex(hash.sha256(ticket.receipt.body)), wanted.receipt_sha256) +
    differs('preview', ticket.preview ? hex(hash.sha256(ticket.preview.body)) : undefined,
      wanted.preview_sha256) +
    checkParts(partsOf(ticket), wanted);
}

// T49: the first three data that have a name, each with it as `plain`. No page offers them yet.
function readData(parts) {
  var found = [];
  for (var i = 1; i < parts.length && found.length < 3; i++) {
    var kind = /^application\/(json|xml)$/.exec(parts[i].type);
    if (kind && parts[i].name) {
      parts[i].plain = plainName(parts[i].name.replace(new RegExp('\\.' + kind[1] + '$', 'i'), ''))
        .slice(0, -3) + kind[1];
      found.push(parts[i]);
    }
  }
  return found;
}

// What a ticket holds beside its receipt, as the vectors describe it.
function partsOf(ticket) {
  var lines = readLines(ticket.parts);
  var data = readData(ticket.parts);
  var found = {};
  if (lines) found.lines = lines;
  if (lines && ticket.preview) found.preview_shows = lines.rest ? 'rest' : 'receipt';
  for (var i = 0; i < data.length; i++) {
    data[i] = { type: data[i].type, name: data[i].plain, sha256: hex(hash.sha256(data[i].body)) };
  }
  if (data.length) found.data = data;
  return found;
}

function checkParts(found, wanted) {
  var trouble = differs('lines', JSON.stringify(found.lines), JSON.stringify(wanted.lines)) +
    differs('preview shows', found.preview_shows, wanted.preview_shows);
  var data = found.data || [];
  var others = wanted.data || [];
  trouble += differs('count of data', data.length, others.length);
  for (var i = 0; i < data.length && !trouble; i++) {
    for (var name in data[i]) trouble += differs('data ' + name, data[i][name], others[i][name]);
  }
  return trouble;
}

// channel.json

// The till's side of the handshake: reads message 1, writes message 2.
function answerHello(psk, message, ephemeral, payload) {
  if (message.length !== HELLO_SIZE) fail('length'); // C10
  var state = symmetricState(PROLOGUE);
  var e = slice(message, 0, 32);
  mixKeyAndHash(state, psk);
  mixHash(state, e);
  mixKey(state, e);
  var last = decryptAndHash(state, slice(message, 32, HELLO_SIZE));
  var own = x25519.scalarMultBase(ephemeral);
  var shared = x25519.scalarMult(ephemeral, e);
  mixHash(state, own);
  mixKey(state, own);
  if (isZeros(shared)) fail('aead'); // C11
  mixKey(state, shared);
  return { last: last, sealed: concat(own, encryptAndHash(state, payload)), session: state.h };
}

var CHANNEL = {
  session: function (vector) {
    var psk = derivePairingKeys(bytesOf(vector.pairing)).psk;
    var hello = makeHello(psk, bytesOf(vector.display_private), bytesOf(vector.last));
    var payload = new Uint8Array(464);
    payload.set(bytesOf(vector.payload));
    var answer = answerHello(psk, hello.message, bytesOf(vector.till_private), payload);
    var read;
    var found = outcome(function () {
      read = readSealed(hello.state, change(answer.sealed, vector));
    });
    return differs('psk', hex(psk), vector.psk) +
      differs('hello', hex(hello.message), vector.hello) +
      differs('hid', hex(hash.sha256(hello.message)).slice(0, 32), vector.hid) +
      differs('last', hex(answer.last), vector.last) +
      differs('sealed', hex(answer.sealed), vector.sealed) +
      differs('session', hex(answer.session), vector.session) +
      differs('outcome', found, vector.expect) +
      (read ? checkRead(read, vector) : '');
  },
  hello: function (vector) {
    var psk = derivePairingKeys(bytesOf(vector.pairing)).psk;
    return differs('outcome', outcome(function () {
      answerHello(psk, bytesOf(vector.hello), bytesOf(vector.till_private), new Uint8Array(464));
    }), vector.expect);
  }
};

function checkRead(read, vector) {
  return differs('session read', hex(read.session), vector.session) +
    checkContentOf(read.content, vector.content);
}

function checkContentOf(found, wanted) {
  return differs('kind', found.kind, wanted.kind) +
    differs('tkt', found.digits, wanted.tkt) +
    differs('for', found.seconds, wanted['for']) +
    differs('no', found.no, wanted.no) +
    differs('time', found.time, wanted.time) +
    differs('total', found.total, wanted.total) +
    differs('live', (found.live || []).join('\n'), (wanted.live || []).join('\n')) +
    differs('name', found.name, wanted.name) +
    differs('lang', found.lang, wanted.lang) +
    differs('notice', found.notice, wanted.notice);
}

// display.json

// The display's machine, and when its next hello is due: what display.js is to it, without a screen.
function makeScreen(request) {
  var screen = { machine: makeMachine(derivePairingKeys(bytesOf(request.pairing)).psk), due: null, keys: 0 };
  screen.origin = request.origin;
  return screen;
}

function makeTestKey(screen) {
  var secret = hash.sha256(concat(screen.machine.psk, ascii('key ' + screen.keys++)));
  return { secret: secret, point: x25519.scalarMultBase(secret) };
}

function actScreen(screen, request) {
  var machine = screen.machine;
  var time = { wall: request.wall, mono: request.mono === null ? undefined : request.mono };
  var at = request.mono === null ? request.wall : request.mono;
  var told = {};
  var delay = request.event === 'load' ? 0 : passTime(machine, time);
  var hello = null;
  if (delay !== null) screen.due = at + delay;
  if (request.event === 'hello' && screen.due !== null) {
    hello = sayFirst(machine, makeTestKey(screen), time);
    if (hello) screen.due = null;
  }
  if (request.event === 'answer' && machine.hello) {
    delay = hear(machine, request.status, request.sealed, request.retry_after, time, 0.5);
  } else if (request.event === 'lost' && machine.hello) {
    delay = failMachine(machine, null, time);
  } else if (request.event === 'hide') {
    hideMachine(machine);
    screen.due = null;
  } else if (request.event === 'show') {
    delay = showMachine(machine, time);
  } else if (request.event === 'tap') {
    tapMachine(machine, time);
  } else {
    delay = null;
  }
  if (delay !== null) screen.due = at + delay;
  if (!machine.psk) screen.due = null;
  told.hello = hello;
  told.shows = machine.shown;
  told.paired = machine.psk !== null;
  told.next = screen.due === null ? null : Math.max(0, screen.due - at);
  if (machine.shown.digits) told.code = screen.origin + '/#' + machine.shown.digits;
  return told;
}

function sealScenario(vector, step, number, psk, hello) {
  var text = step.text || JSON.stringify(step.content);
  var json = bytesOf(unescape(encodeURIComponent(text)).replace(/[^]/g, function (c) {
    return (c.charCodeAt(0) + 256).toString(16).slice(1);
  }));
  var payload = new Uint8Array(464);
  payload[0] = json.length >> 8;
  payload[1] = json.length & 255;
  payload.set(json, 2);
  return answerHello(psk, hello, hash.sha256(ascii(vector.name + ' till ' + number)), payload);
}

function playDisplay(vector) {
  var psk = derivePairingKeys(bytesOf(vector.pairing)).psk;
  var screen = makeScreen(vector);
  var hellos = {};
  var sessions = {};
  var waiting = null;
  var before = null;
  for (var n = 0; n < vector.steps.length; n++) {
    var step = vector.steps[n];
    var passed = before && !step.jumps ? step.wall - before.wall : 0;
    if (passed && step.mono !== null && step.mono - before.mono !== passed) passed = 0;
    for (var more = 1000; more < passed; more += 1000) {
      actScreen(screen, {
        event: 'time', wall: before.wall + more, mono: step.mono === null ? null : before.mono + more
      });
    }
    before = step;
    var request = { event: step.event, wall: step.wall, mono: step.mono };
    if (step.event === 'answer') {
      request.status = step.status;
      request.retry_after = step.retry_after;
      if (step.status === 200) {
        var to = step.to || waiting;
        var made = sealScenario(vector, step, n, psk, hellos[to]);
        sessions[to] = made.session;
        request.sealed = change(made.sealed, { xor: step.xor });
      }
    }
    var told = actScreen(screen, request);
    var trouble = '';
    if (step.event === 'hello') {
      trouble += differs('hello', told.hello !== null, step.expect.hello);
      if (told.hello) {
        hellos[step.name] = told.hello;
        waiting = step.name;
        var names = answerHello(psk, told.hello, hash.sha256(ascii('look')), new Uint8Array(464)).last;
        var wanted = step.expect.names ? sessions[step.expect.names] : NO_SESSION;
        trouble += differs('names', hex(names), hex(wanted));
      }
    }
    trouble += checkContentOf(told.shows, step.expect.shows) +
      differs('paired', told.paired, step.expect.paired) + checkNext(told.next, step.expect.next) +
      differs('code', told.code, step.expect.shows.tkt && vector.origin + '/#' + step.expect.shows.tkt);
    if (trouble) return 'Step ' + n + ', ' + step.event + ' at ' + step.wall + ' ms: ' + trouble;
  }
  return '';
}

function checkNext(found, wanted) {
  if (found === null || wanted === null) return differs('next', found, wanted);
  return found < wanted[0] || found > wanted[1] ? 'next is ' + found + ', not ' + wanted + '. ' : '';
}

// accumulated.json

function checkAccumulated(vector) {
  var hashed = [];
  var size = 0;
  function take(bytes) {
    hashed.push(bytes);
    size += bytes.length;
  }
  for (var n = 0; n < vector.cases; n++) {
    var number = new Uint8Array([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);
    var secret = hash.sha256(concat(ascii('accumulated'), number));
    var keys = deriveKeys(secret);
    take(bytesOf(deriveId(secret)));
    take(keys.key);
    take(deriveNonceKey(secret));
    take(keys.th);
    take(ascii(formatDigits(secret, 'tkt/v1 check')));
    if (n % 100 === 0) {
      var plaintext = new Uint8Array(16316);
      for (var i = 0; i < plaintext.length; i++) plaintext[i] = secret[i % 32];
      take(hash.sha256(sealEnvelope(secret, plaintext)));
    }
  }
  var all = new Uint8Array(size);
  var at = 0;
  for (var h = 0; h < hashed.length; h++) {
    all.set(hashed[h], at);
    at += hashed[h].length;
  }
  return differs('sha256', hex(hash.sha256(all)), vector.sha256);
}

function runVectors(files) {
  var results = [];
  function run(vectors, check) {
    for (var i = 0; i < (vectors || []).length; i++) {
      var vector = vectors[i];
      var trouble;
      try {
        trouble = typeof check === 'function' ? check(vector) : check[vector.op](vector);
      } catch (e) {
        trouble = String(e);
      }
      results.push({ name: vector.name, rule: vector.rule, trouble: trouble });
    }
  }
  run(files.links, LINKS);
  run(files.keys, KEYS);
  run(files.envelopes, checkEnvelope);
  run(files.channel, CHANNEL);
  run(files.display, playDisplay);
  run(files.accumulated, checkAccumulated);
  return results;
}
