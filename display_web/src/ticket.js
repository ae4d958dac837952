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
  absent: 'M12 3a9 9 0 1 0 .01 0M12 7v6M12 16v.1',
  received: 'M12 3a9 9 0 1 0 .01 0M8 12l3 3 5-6',
  offline: 'M2 9c6-5 14-5 20 0M6 13c4-3 8-3 12 0M12 18v.1M4 21L20 3',
  faulty: 'M5 3v18l2-2 2.5 2 2.5-2 2.5 2 2.5-2 2 2V3zM12 7v5M12 15v.1'
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
  write('text', (say[state + 'Text'] || '') + (/^(abs|ex|rec|rev|tam|fau)/.test(state) ? ' ' + say.ask : ''));
  write('count');
  $('icon').setAttribute('d', ICONS[state] || ICONS.absent);
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
  var seconds = parseInt(request.getResponseHeader('Retry-After'), 10);
  clearTimeout(timer);
  if (status === 511) retry('portal');
  else if (status < 500 && !isRelays(bytes)) askRelay(take);
  else take();
  function take() {
    if (status === 200) arrived(bytes);
    else if (status === 404) wait(Math.min(5, 1 + waited / 10));
    else if (status === 410) show(goneReason(bytes));
    else if (status === 429 || status === 503) busy(seconds);
    else lost();
  }
}

function isRelays(bytes) {
  return hasMagic(bytes) || readJSON(bytes);
}

function readJSON(bytes) {
  try {
    return parseJSON(bytes);
  } catch (e) { /* somebody else's, or cut */ }
}

// What the relay never says comes from a network that wants a login, or from a proxy between: the
// relay itself tells which. No other answer is told as a login's.
function askRelay(then) {
  request = new XMLHttpRequest();
  request.open('GET', relay + '/v1/info');
  request.responseType = 'arraybuffer';
  listen();
  request.onload = function () {
    var info = readJSON(new Uint8Array(request.response || 0));
    clearTimeout(timer);
    if (info && info.version === 1) then();
    else retry('portal');
  };
  request.send();
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

function busy(seconds) {
  show('waiting');
  again(Math.min(60, Math.max(1, seconds || 5)));
}

function goneReason(bytes) {
  var reason = (readJSON(bytes) || {}).reason; // told as expired, the mildest, without one
  return reason === 'received' || reason === 'revoked' ? reason : 'expired';
}

function arrived(bytes) {
  if (!isLength(bytes.length) && (!hasMagic(bytes) || truncated++ < 3)) return lost(); // cut
  try {
    ticket = unseal(bytes, keys);
  } catch (error) {
    show(error.code === 'framing' ? 'faulty' : 'tampered', true);
    write('count', error.code);
    return;
  }
  try {
    ready();
  } catch (e) {
    show('old', true); // it has no room for the receipt, or cannot make a file of it
  }
}

// An engine compiles what it has run often enough: the cipher runs on zeros while the phone waits,
// in steps so short that the envelope does not wait for one.
function warmUp(steps) {
  var zeros = new Uint8Array(1024);
  if (!steps || request.readyState > 3) return;
  for (var i = 0; i < 2; i++) cipher.open(zeros.subarray(0, 32), zeros.subarray(0, 12), zeros, MAGIC);
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
  $('save').onclick = tapped;
  showPreview(facts);
  offerShare(name, type);
  mark('app', isInApp());
  show('ready');
  fitTotal();
  $('title').focus();
  setTimeout(seen, 0);
}

// R74: nobody has seen what is drawn ahead of a tap, or in a tab behind.
function seen() {
  document[document.hidden ? 'addEventListener' : 'removeEventListener']('visibilitychange', seen);
  if (!document.hidden) post('opened');
}

// An amount stays on its line; a text that is no amount may be too long for that. Some engines tell
// of 1 px too many.
function fitTotal() {
  var total = $('total');
  var share;
  fitLines();
  total.style.cssText = '';
  share = total.clientWidth / (total.scrollWidth - 1);
  if (share < 1) total.style.fontSize = Math.max(1.25, 2.9 * share) + 'rem';
  if (share < 0.4) total.style.whiteSpace = 'normal';
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
  var lines = readLines(ticket.parts);
  if (lines) showLines(lines);
  if (!ticket.preview) return;
  mark('preview', true);
  $('paper').open = !lines || lines.rest;
  mark('paper', !$('paper').open);
  picture.onerror = function () {
    mark('preview');
  };
  picture.width = u32(ticket.preview.body, 16);
  picture.height = u32(ticket.preview.body, 20);
  picture.alt = [say.picture, ticket.title, ticket.total, facts].join(' ');
  picture.src = URL.createObjectURL(new Blob([ticket.preview.body], { type: 'image/png' }));
}

function offerShare(name, type) {
  try {
    var files = { files: [new File([ticket.receipt.body], name, type)] };
    if (!navigator.canShare(files)) return;
    mark('share', true);
    $('share').onclick = function () {
      navigator.share(files).then(passedOn, unshared);
    };
  } catch (e) { /* no such browser: the link is enough */ }
}

// Apps that open links in a view of their own often drop downloads without a word.
function isInApp() {
  var agent = navigator.userAgent;
  return /; wv\)|FBA[NV]|Instagram|WhatsApp|Line\/|MicroMessenger|Snapchat|GSA\//.test(agent) ||
    (/(iP(hone|ad|od)|Macintosh).*AppleWebKit/.test(agent) && !/Safari\//.test(agent));
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

// What the relay is told: opened, received, revoked. Nothing waits for it. `answer` hears of every
// try: its status if the relay has heard, else whether another try follows.

function post(word, answer) {
  var url = relay + '/v1/t/' + id + '/state';
  var body = concat(keys.tok, ascii(word)).buffer;
  var delay = 1000;
  var told;
  function tell() {
    var call = new XMLHttpRequest();
    call.open('POST', url);
    call.timeout = STALL;
    call.onload = call.onerror = call.ontimeout = function () {
      told = call.status === 204 || call.status === 410;
      var follows = !told && (delay *= 2) < 99999;
      if (follows) setTimeout(tell, delay);
      if (answer) answer(told ? call.status : 0, follows);
    };
    call.send(body); // no header and no upload listener: no preflight
  }
  window.addEventListener('pagehide', function () {
    if (!told && navigator.sendBeacon) navigator.sendBeacon(url, body);
  });
  tell();
}

function note(text, canDelete) {
  write('noteText', text);
  mark('noted', canDelete);
}

// R75: a tap is no proof that anything was saved, so that the copy stays for its day. What is told
// again is known to the relay already; its answer says whether the copy is there.
function tapped() {
  note(say.receivedText, true);
  post('opened', function (status) {
    if (status) note(say.receivedText + ' ' + (status > 204 ? say.deleted : say.kept), status < 410);
  });
}

function passedOn() {
  note(say.shared, true);
  post('received', function (status) {
    if (status) note(say.shared + ' ' + (status > 204 ? say.deleted : say.soon), status < 410);
  });
}

function unshared() {
  note(say.unshared);
}

// The customer's word that the receipt is saved, and their wish. Each tap has an answer.
function deleteNow() {
  note(say.deleting);
  $('note').focus();
  post('received', function (status, follows) {
    if (status === 204) post('revoked', deleted);
    else deleted(status, follows);
  });
}

function deleted(status, follows) {
  note(status ? say.deleted : say.undeleted, !status && !follows);
}

// Start

function start() {
  var written = ['paperText', 'retry', 'save', 'share', 'appText', 'copy', 'delete', 'more', 'privacy', 'moreText'];
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
  window.onresize = fitTotal;
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
