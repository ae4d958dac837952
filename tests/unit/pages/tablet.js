// A tablet of 2012 on the counter, without a screen: runs dist/display.html's script as served, with
// clocks, storage and network in the hands of a test. One JSON line is a command, one line its answer.

'use strict';

const fs = require('fs');
const readline = require('readline');
const { makeEngine } = require('../../vectors/engine_of_2012.js');

const options = JSON.parse(process.argv[3]);
const page = fs.readFileSync(process.argv[2], 'utf8');
const script = page.match(/<script>([^]*?)<\/script>/)[1];

let wall = 1e12;
let mono = 5000;
const timers = new Map();
let timerCount = 0;
let requests = []; // those that wait
let sent = 0;
let reloads = 0;
const store = new Map(Object.entries(options.storage || {}));
const drawn = { modules: 0, texts: {} };
let engine;

function makeElement(id) {
  const element = {
    id,
    style: {},
    attributes: {},
    children: [],
    className: '',
    value: '',
    offsetHeight: 100,
    clientWidth: 100,
    scrollWidth: 100,
    get textContent() {
      return this.own + this.children.map((child) => child.textContent).join('');
    },
    set textContent(text) {
      this.own = text;
      this.children = [];
    },
    own: '',
    get firstChild() {
      return this.children[0];
    },
    appendChild(child) {
      this.children.push(child);
    },
    removeChild(child) {
      this.children = this.children.filter((other) => other !== child);
    },
    setAttribute(name, value) {
      this.attributes[name] = String(value);
    },
    getAttribute(name) {
      return this.attributes[name];
    },
    focus() {
      focused = element.attributes['aria-label'];
    },
    getContext: () => ({
      fillRect() {
        drawn.modules += 1;
      },
      beginPath() {},
      arc() {},
      stroke() {},
      moveTo() {},
      lineTo() {}
    })
  };
  return element;
}

const elements = new Map();
let focused = null;
let heap = 0;
const byId = (id) => elements.get(id) || elements.set(id, makeElement(id)).get(id);
const listeners = {};
const listen = (name, callback) => (listeners[name] = listeners[name] || []).push(callback);
const fire = (name) => (listeners[name] || []).forEach((callback) => callback({}));

const document = {
  hidden: false,
  documentElement: makeElement('root'),
  getElementById: byId,
  getElementsByTagName: () => [
    { name: 'relay', content: options.relay || '' },
    { name: 'page', content: options.page || '' },
    { httpEquiv: 'Content-Security-Policy', content: page.match(/Policy" content="([^"]*)"/)[1] }
  ],
  createElement: () => makeElement(),
  createTextNode: (text) => ({ textContent: text }),
  addEventListener: listen
};

const location = {
  protocol: 'https:',
  host: 'receipts.example',
  pathname: '/d',
  hash: options.hash || '',
  replace(hash) {
    this.hash = hash;
  },
  reload() {
    reloads += 1;
  }
};

let questions = [];

class FakeRequest {
  open(method, url) {
    this.method = method;
    this.url = url;
  }
  setRequestHeader(name, value) {
    this.asked = { [name]: value };
  }
  send(body) {
    if (this.method === 'GET') return questions.push(this);
    this.body = Buffer.from(new (engine.run('Uint8Array'))(body)).toString('hex');
    requests.push(this);
    sent += 1;
  }
  abort() {
    requests = requests.filter((request) => request !== this);
    questions = questions.filter((request) => request !== this);
  }
  getResponseHeader(name) {
    return (this.headers || {})[name] || null;
  }
}

const globals = {
  document,
  location,
  navigator: { language: options.language || 'en', ...(options.wakeLock ? { wakeLock: makeWakeLock() } : {}) },
  name: options.name || '',
  history: { replaceState: () => (location.hash = '') },
  innerWidth: 1024,
  innerHeight: 768,
  devicePixelRatio: 1,
  addEventListener: listen,
  localStorage: {
    getItem: (name) => (store.has(name) ? store.get(name) : null),
    setItem(name, value) {
      if (!options.noStorage) store.set(name, String(value));
    },
    removeItem: (name) => store.delete(name)
  },
  crypto: {
    getRandomValues: (bytes) => require('crypto').randomFillSync(Buffer.from(bytes.buffer))
  },
  XMLHttpRequest: FakeRequest,
  setTimeout: (callback, delay) => addTimer({ at: mono + (delay || 0), callback }),
  clearTimeout: (id) => timers.delete(id),
  setInterval: (callback, every) => addTimer({ at: mono + every, callback, every })
};

function addTimer(timer) {
  timers.set(++timerCount, { id: timerCount, ...timer });
  return timerCount;
}

// A wake lock that the system may take back.
const locks = { asked: 0, held: null };

function makeWakeLock() {
  return {
    request() {
      locks.asked += 1;
      locks.held = {};
      return { then: (got) => got(locks.held) };
    }
  };
}
if (!options.noMonotonicClock) globals.performance = { now: () => mono };

engine = makeEngine(globals);
engine.context.window = engine.run('this');
engine.run(`Date = (function (Real) {
  function Fake() { return new Real(readWall()); }
  Fake.now = function () { return readWall(); };
  return Fake;
})(Date)`);
engine.context.readWall = () => wall;

// Time passes timer by timer, on both clocks.
function advance(milliseconds) {
  const end = mono + milliseconds;
  for (;;) {
    let next = null;
    for (const timer of timers.values()) {
      if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
    }
    if (!next) break;
    wall += Math.max(0, next.at - mono);
    mono = Math.max(mono, next.at);
    if (next.every) next.at += next.every;
    else timers.delete(next.id);
    next.callback();
  }
  wall += end - mono;
  mono = end;
}

const COMMANDS = {
  weigh() {
    heap = measureHeap();
  },
  advance: ({ milliseconds }) => advance(milliseconds),
  // The machine sleeps: the clocks move on and no timer runs.
  sleep({ milliseconds, monotonic }) {
    wall += milliseconds;
    if (monotonic) mono += milliseconds;
    for (const timer of timers.values()) if (timer.every && timer.at < mono) timer.at = mono;
  },
  setClock: ({ by }) => (wall += by),
  hide() {
    document.hidden = true;
    fire('visibilitychange');
  },
  show() {
    document.hidden = false;
    fire('visibilitychange');
  },
  answer({ status, body, headers }) {
    const request = requests.shift();
    request.status = status;
    request.headers = headers;
    const Bytes = engine.run('Uint8Array');
    request.response = new Bytes(Buffer.from(body || '', 'hex')).buffer;
    request.onload();
  },
  // The relay answers what it was asked about itself.
  inform({ status }) {
    for (const question of questions.filter(({ url }) => url.endsWith('/v1/info'))) {
      question.abort();
      question.status = status;
      question.onload();
    }
  },
  // The page host answers what it was asked about the page.
  serve({ status, text, tag }) {
    for (const question of questions.filter(({ url }) => url === '/d')) {
      question.abort();
      question.status = status;
      question.responseText = text === undefined ? page : text;
      question.headers = { ETag: tag };
      question.onload();
    }
  },
  cut() {
    requests.shift().onerror();
  },
  tap() {
    byId('stage').onclick({});
  },
  press({ group, key }) {
    byId('groups').children[group].onkeydown({ keyCode: key, preventDefault() {} });
  },
  releaseLock() {
    locks.held.onrelease();
    locks.held = null;
  },
  type({ group, text }) {
    const input = byId('groups').children[group];
    input.value = text;
    input.oninput();
  },
  submit() {
    byId('pairing').onsubmit({ preventDefault() {} });
  }
};

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function look() {
  const text = (id) => byId(id).textContent;
  return {
    state: document.documentElement.attributes['data-state'],
    marks: document.documentElement.className.split(' '),
    hellos: requests.map((request) => ({ url: request.url, method: request.method, body: request.body })),
    sent,
    reloads,
    questions: questions.map((question) => ({ url: question.url, ...question.asked })),
    timers: timers.size,
    elements: countElements(),
    locks: locks.asked,
    name: engine.context.name,
    hash: location.hash,
    storage: Object.fromEntries(store),
    code: byId('qr').width > 1,
    modules: drawn.modules,
    texts: Object.fromEntries(
      ['idleName', 'notice', 'total', 'facts', 'lines', 'ticketName', 'pairingHeading', 'pairingError',
        'thanksHeading', 'thanksText', 'signText', 'spoken', 'left', 'moreText', 'scan', 'scanText',
        'awakeText', 'keep', 'pairingText', 'liveHeading'].map((id) => [id, text(id)])
    ),
    groups: byId('groups').children.map((input) => ({ value: input.value, wrong: input.className === 'wrong' })),
    focused,
    lang: document.documentElement.lang,
    drift: [byId('idle').style.left, byId('idle').style.top],
    heap
  };
}

// After a collection, in bytes; what the test keeps in Python is not in it.
function measureHeap() {
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

function countElements() {
  const count = (element) => 1 + (element.children || []).reduce((sum, child) => sum + count(child), 0);
  return [...elements.values()].reduce((sum, element) => sum + count(element), 0);
}

engine.run(script, 'display.html');
say(look());
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  COMMANDS[command.op](command);
  say(look());
});
