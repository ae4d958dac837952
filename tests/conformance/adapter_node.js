// The pages' own script (display_web/src and vendor, as build.py joins them) behind the conformance
// kit's command interface: run by Node, one JSON object a line both ways.

'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');
const vm = require('vm');

const FOLDER = path.join(__dirname, '..', '..', 'display_web');
const PARTS = ['vendor/hash.js', 'vendor/cipher.js', 'vendor/x25519.js', 'src/link.js', 'src/protocol.js',
  'src/lines.js', 'src/channel.js', 'src/machine.js', 'src/vectors.js'];

const page = { Uint8Array };
vm.createContext(page);
vm.runInContext(PARTS.map((part) => fs.readFileSync(path.join(FOLDER, part), 'utf8')).join('\n'), page);

const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (data) => Buffer.from(data).toString('hex');
const base64 = (text) => new Uint8Array(Buffer.from(text, 'base64'));

function present(members) {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function helloOf(request) {
  const psk = page.derivePairingKeys(bytes(request.pairing)).psk;
  return page.makeHello(psk, bytes(request.private), bytes(request.last));
}

const COMMANDS = {
  keys(request) {
    if (request.kind === 'pairing') {
      const found = page.derivePairingKeys(bytes(request.secret));
      return { cid: found.cid, rtok: hex(found.rtok), psk: hex(found.psk) };
    }
    const found = page.deriveKeys(bytes(request.secret));
    return { id: page.deriveId(bytes(request.secret)), key: hex(found.key), nkey: hex(page.deriveNonceKey(bytes(request.secret))), tok: hex(found.tok), th: hex(found.th) };
  },
  link(request) {
    if (request.do === 'whole') return { outcome: 'unsupported' }; // a page reads its own fragment
    if (request.do === 'format') return { digits: page.formatDigits(bytes(request.secret), request.label) };
    return { secret: hex(page.parseFragment(request.fragment, request.label)) };
  },
  seal(request) {
    const sealed = page.sealEnvelope(bytes(request.secret), base64(request.plaintext));
    return { envelope: Buffer.from(sealed).toString('base64') };
  },
  open(request) {
    const ticket = page.unseal(base64(request.envelope), page.deriveKeys(bytes(request.secret)));
    return {
      ticket: present({
        title: ticket.title,
        total: ticket.total,
        number: ticket.number,
        issued: ticket.issued,
        lang: ticket.lang,
        name: page.plainName(ticket.receipt.name),
        receipt_length: ticket.receipt.body.length,
        receipt_sha256: hex(page.hash.sha256(ticket.receipt.body)),
        preview_sha256: ticket.preview ? hex(page.hash.sha256(ticket.preview.body)) : undefined,
        ...page.partsOf(ticket)
      })
    };
  },
  hello(request) {
    const message = helloOf(request).message;
    return { hello: hex(message), hid: hex(page.hash.sha256(message)).slice(0, 32) };
  },
  answer(request) {
    const psk = page.derivePairingKeys(bytes(request.pairing)).psk;
    const made = page.answerHello(psk, bytes(request.hello), bytes(request.private), bytes(request.payload));
    return { last: hex(made.last), sealed: hex(made.sealed), session: hex(made.session) };
  },
  accept(request) {
    const read = page.readSealed(helloOf(request).state, bytes(request.sealed));
    const { kind, digits, seconds, no, time, total, live, name, lang, notice } = read.content;
    return {
      session: hex(read.session),
      content: present({ kind, tkt: digits, for: seconds, no, time, total, live, name, lang, notice })
    };
  }
};

let screen;

COMMANDS.display = (request) => {
  if (request.do === 'load') screen = page.makeScreen(request);
  const told = page.actScreen(screen, {
    event: request.do,
    wall: request.wall,
    mono: request.mono,
    status: request.status,
    retry_after: request.retry_after,
    sealed: request.sealed === undefined ? null : bytes(request.sealed)
  });
  const { kind, digits, seconds, no, time, total, live, name, lang, notice } = told.shows;
  return {
    ...present({ hello: told.hello ? hex(told.hello) : undefined, code: told.code }),
    shows: present({ kind, tkt: digits, for: seconds, no, time, total, live, name, lang, notice }),
    next: told.next,
    paired: told.paired
  };
};

function answer(request) {
  const command = COMMANDS[request.op];
  if (!command) return { outcome: 'unsupported' };
  try {
    return { outcome: 'ok', ...command(request) };
  } catch (error) {
    if (!error.code) throw error;
    return { outcome: error.code };
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n');
});
