// The phone's page, second script: envelope → receipt. The rules it keeps are those of
// spec/ticket.md and of the routes that spec/relay.md says the phone calls.

var root = document.documentElement;
var language = pickLanguage();
var say = unpack(TEXTS[language]);

var WAIT = 60; // seconds that a ticket may be on its way
var STALL = 20000; // milliseconds without a byte
var ICONS = {
  opening: 'M5 3v18l2-2 2.5 2 2.5-2 2.5 2 2.5-2 2 2V3zM8 8h8M8 12h8',
  waiting: 'M12 3a9 9 0 1 0 .01 0M12 7v5l3 3',
  damaged: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M8 8l8 8M16 8l-8 8',
  absent: 'M12 3a9 9 0 1 0 .01 0M12 7v6M12 16v.1',
  expired: 'M6 3h12M6 21h12M7 3c0 5 10 13 10 18M17 3c0 5-10 13-10 18',
  received: 'M12 3a9 9 0 1 0 .01 0M8 12l3 3 5-6',
  revoked: 'M4 7h16M9 7V4h6v3M6 7l1 14h10l1-14M10 11v6M14 11v6',
  tampered: 'M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM12 8v5M12 16v.1',
  offline: 'M2 9c6-5 14-5 20 0M6 13c4-3 8-3 12 0M12 18v.1M4 21L20 3',
  away: 'M7 19a4 4 0 0 1 0-9 5 5 0 0 1 10 0 4 4 0 0 1 0 9zM10 13l4 4M14 13l-4 4',
  portal: 'M2 9c6-5 14-5 20 0M6 13c4-3 8-3 12 0M9 18h6v4H9zM10 18v-1a2 2 0 0 1 4 0v1',
  old: 'M3 4h18v16H3zM3 8h18M12 11v4M12 17v.1',
  about: 'M7 11V8a5 5 0 0 1 10 0v3M5 11h14v10H5zM12 15v2'
};

var keys;
var ticket;
var waited = 0;
var failures = 0;
var truncated = 0;
var timer;

function pickLanguage() {
  var wanted = navigator.languages || [navigator.language];
  for (var i = 0; i < wanted.length; i++) {
    if (/^(\w\w)(?!\w)/.test(wanted[i]) && TEXTS[RegExp.$1.toLowerCase()]) return RegExp.$1.toLowerCase();
  }
  return 'en';
}

function unpack(texts) {
  var names = NAMES.split('|');
  var found = {};
  texts = fill(texts, 'relay', relay.replace(/^.*\//, '')).split('|');
  for (var i = 0; i < names.length; i++) found[names[i]] = texts[i];
  return found;
}

function mark(name, on) {
  root.classList[on ? 'add' : 'remove'](name);
}

// States

function show(name, canRetry) {
  state = name;
  root.setAttribute('data-state', state);
  document.title = say[state] || say.receipt;
  write('heading', say[state]);
  write('text', (say[state + 'Text'] || '') + (/^(abs|ex|re|tam)/.test(state) ? ' ' + say.ask : ''));
  write('count');
  $('icon').setAttribute('d', ICONS[state] || '');
  mark('retry', canRetry);
}

// Fetching

function begin() {
  clearTimeout(timer);
  request.onload = request.onerror = request.onprogress = null;
  fetchEnvelope();
  listen();
}

function listen() {
  request.onload = answered;
  request.onerror = lost;
  request.onprogress = watch;
  watch();
}

function watch() {
  clearTimeout(timer);
  timer = setTimeout(function () {
    request.onerror = null;
    request.abort();
    lost();
  }, STALL);
}

function again(seconds) {
  clearTimeout(timer);
  timer = setTimeout(begin, seconds * 1000);
}

function lost() {
  retry(navigator.onLine === false ? 'offline' : 'away');
}

function retry(name) {
  show(name, true);
  again(Math.min(30, Math.pow(2, failures++)));
}

function answered() {
  var bytes = new Uint8Array(request.response || 0);
  var status = request.status;
  clearTimeout(timer);
  // A page of somebody else's network is no answer of the relay, and no envelope either.
  if (status === 511 || (status < 500 && !hasMagic(bytes) &&
    /html/i.test(request.getResponseHeader('Content-Type')))) retry('portal');
  else if (status === 200) arrived(bytes);
  else if (status === 404) wait(Math.min(5, 1 + waited / 10));
  else if (status === 410) show(goneReason(bytes));
  else if (status === 429 || status === 503) busy();
  else lost();
}

function wait(seconds) {
  if (waited >= WAIT) return show('absent', true);
  if (state !== 'waiting') show('waiting');
  write('count', WAIT - waited + ' s');
  waited++;
  timer = setTimeout(seconds > 1 ? function () {
    wait(seconds - 1);
  } : begin, 1000);
}

function busy() {
  show('waiting');
  again(Math.min(60, Math.max(1, parseInt(request.getResponseHeader('Retry-After'), 10) || 5)));
}

function goneReason(bytes) {
  var reason;
  try {
    reason = member(parseJSON(bytes), 'reason');
  } catch (e) { /* told as expired, the mildest */ }
  return reason === 'received' || reason === 'revoked' ? reason : 'expired';
}

function arrived(bytes) {
  if (!isLength(bytes.length)) {
    if (!hasMagic(bytes)) return retry('portal');
    if (truncated++ < 3) return lost(); // cut on its way
  }
  try {
    ticket = unseal(bytes, keys);
  } catch (error) {
    show('tampered', true);
    write('count', error.code);
    return;
  }
  ready();
}

// An engine compiles what it has run often enough: the cipher runs on zeros while the phone waits,
// in steps so short that the envelope does not wait for one.
function warmUp(steps) {
  var zeros = new Uint8Array(1024);
  if (!steps || request.readyState > 3) return;
  for (var i = 0; i < 2; i++) cipher.seal(zeros.subarray(0, 32), zeros.subarray(0, 12), zeros, MAGIC);
  setTimeout(function () {
    warmUp(steps - 1);
  }, 0);
}

// The receipt

function ready() {
  var name = plainName(ticket.receipt.name);
  var type = { type: 'application/pdf' }; // T36: whatever its bytes are
  var facts = listFacts();
  write('title', ticket.title || say.receipt);
  write('total', ticket.total);
  write('facts', facts);
  if (ticket.lang) $('title').lang = ticket.lang;
  $('save').href = URL.createObjectURL(new Blob([ticket.receipt.body], type));
  $('save').download = name;
  $('save').onclick = saved;
  showPreview(facts);
  offerShare(name, type);
  mark('app', isInApp());
  show('ready');
  $('title').focus();
  setTimeout(function () {
    post('opened');
  }, 0);
}

// The shop's own time, as it wrote it, and as the till prints it on the receipt. Not by
// toLocaleString: the first call takes a slow phone with Chromium 80 ms.
function formatTime(issued) {
  var at = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d:\d\d)/.exec(issued);
  return !at ? issued : language === 'en'
    ? +at[3] + new Date(Date.UTC(at[1], at[2] - 1)).toUTCString().slice(7, 16) + ', ' + at[4]
    : [at[3], at[2], at[1]].join(language === 'de' ? '.' : '/') + ' ' + at[4];
}

function listFacts() {
  var found = [];
  if (ticket.issued) found.push(formatTime(ticket.issued));
  if (ticket.number) found.push(fill(say.number, 'n', ticket.number));
  return found.join('\n');
}

// The size that a PNG begins with keeps its place free, so that nothing moves when it is there.
function showPreview(facts) {
  var picture = $('preview');
  if (!ticket.preview) return;
  mark('preview', true);
  picture.onerror = function () {
    mark('preview');
  };
  picture.width = u32(ticket.preview.body, 16);
  picture.height = u32(ticket.preview.body, 20);
  picture.alt = [say.picture, ticket.title, ticket.total, facts].join(' ');
  picture.src = URL.createObjectURL(new Blob([ticket.preview.body], { type: 'image/png' }));
  $('zoom').onclick = function () {
    zoom(!root.classList.contains('zoomed'));
  };
}

function zoom(on) {
  mark('zoomed', on);
  $('zoom').setAttribute('aria-expanded', on);
}

function offerShare(name, type) {
  try {
    var files = { files: [new File([ticket.receipt.body], name, type)] };
    if (!navigator.canShare(files)) return;
    mark('share', true);
    $('share').onclick = function () {
      navigator.share(files).then(saved, function () {});
    };
  } catch (e) { /* no such browser: the link is enough */ }
}

// Apps that open links in a view of their own often drop downloads without a word.
function isInApp() {
  var agent = navigator.userAgent;
  return /; wv\)|FBA[NV]|Instagram|WhatsApp|Line\/|MicroMessenger|Snapchat|GSA\//.test(agent) ||
    (/iP(hone|ad|od)/.test(agent) && !/Safari\//.test(agent));
}

function copyLink() {
  var field = document.createElement('input');
  field.value = here + '/' + fragment.slice(0, 86);
  field.setAttribute('aria-label', say.copy);
  $('app').appendChild(field);
  field.select();
  field.setSelectionRange(0, 999);
  if (document.execCommand('copy')) {
    write('appText', say.copied);
    $('app').removeChild(field);
    $('copy').focus();
  }
}

// What the relay is told: opened, received, revoked. Nothing waits for it.

function post(word, done) {
  var url = relay + '/v1/t/' + id + '/state';
  var body = concat(keys.tok, ascii(word)).buffer;
  var delay = 1000;
  var told;
  function tell() {
    var note = new XMLHttpRequest();
    note.open('POST', url);
    note.onload = function () {
      told = note.status === 204 || note.status === 410;
      if (!told) note.onerror();
      else if (done) done();
    };
    note.onerror = function () {
      if ((delay *= 2) < 99999) setTimeout(tell, delay);
    };
    note.send(body); // no header and no upload listener: no preflight
  }
  window.addEventListener('pagehide', function () {
    if (!told && navigator.sendBeacon) navigator.sendBeacon(url, body);
  });
  tell();
}

function saved() {
  setTimeout(function () {
    post('received', function () {
      mark('saved', true);
      write('noteText', say.saved);
    });
  }, 0);
}

function deleteNow() {
  post('revoked', function () {
    mark('saved', false);
    write('noteText', say.deleted);
    $('note').focus();
  });
}

// Start

function start() {
  var written = ['retry', 'save', 'share', 'appText', 'copy', 'delete', 'more', 'privacy', 'moreText'];
  for (var i = 0; i < written.length; i++) write(written[i], say[written[i]]);
  root.lang = language;
  $('copy').onclick = copyLink;
  $('delete').onclick = deleteNow;
  $('retry').onclick = function () {
    waited = truncated = failures = 0;
    show('opening');
    begin();
  };
  window.addEventListener('online', function () {
    if (/offline|away|portal/.test(state)) begin();
  });
  document.onkeydown = function (event) {
    if (event.keyCode === 27) zoom(false);
  };
  show(state);
  if (state !== 'opening') return;
  keys = deriveKeys(secret);
  if (request.readyState > 3) return request.status ? answered() : lost();
  listen();
  setTimeout(function () {
    warmUp(8);
  }, 0);
}

start();
