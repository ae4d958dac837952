// The customer's display: pairing, then one hello after the other, for ever. The rules it keeps are
// those of spec/channel.md, the display's rules, and of POST /v1/c/{cid}/hello in spec/relay.md.

var root = document.documentElement;
var origin = location.protocol + '//' + location.host;
var relay = meta('relay') || origin;
var pageOrigin = meta('page') || origin;
var STORE = 'e2ee-ticket pairing';
var TICK = 500;

var keys = null; // derived from P; null while there is no pairing
var paired = ''; // the fragment of the pairing link, while paired
var machine = makeMachine(null);
var drawn = 0; // the turn of the machine that was drawn last
var failures = 0; // how many in a row it had counted then
var spare = null; // {secret, point}: the ephemeral key of the next hello, made while nobody waits
var sparing = null; // the timer that makes it
var request = null;
var question = null; // what the relay is asked about itself
var retry = null; // the timer of the next hello
var code = null; // the QR code of the ticket
var stirred; // when something was shown last, or the screen was touched
var say;

function meta(name) {
  var tags = document.getElementsByTagName('meta');
  for (var i = 0; i < tags.length; i++) if (tags[i].name === name) return tags[i].content;
}

// Clocks: C20 wants both, C26 forbids to decide anything by an absolute time.
function now() {
  var mono = window.performance && performance.now ? performance.now() : undefined;
  return { wall: new Date().getTime(), mono: mono };
}

function random(length) {
  var bytes = new Uint8Array(length);
  (window.crypto || window.msCrypto).getRandomValues(bytes);
  return bytes;
}

function speak(lang) {
  var wanted = (lang || navigator.language || 'en').slice(0, 2).toLowerCase();
  var language = Object.prototype.hasOwnProperty.call(words, wanted) ? wanted : 'en';
  say = words[language];
  root.lang = language;
  document.title = say.title;
  write('pairingText', say.pairingText);
  write('pair', say.pair);
  write('awakeText', navigator.wakeLock ? '' : say.awakeText);
  write('liveHeading', say.live);
  write('scan', say.scan);
  write('scanText', say.scanText);
  write('thanksHeading', say.thanks);
  write('thanksText', say.thanksText);
  write('moreText', say.more);
  write('keep', say.keepText);
  $('qr').setAttribute('aria-label', say.qr);
}

function mark(name, on) {
  var names = (' ' + root.className + ' ').replace(' ' + name + ' ', ' ');
  root.className = names.replace(/^ +| +$/g, '') + (on ? ' ' + name : '');
}

function setState(state) {
  if (root.getAttribute('data-state') !== state) root.setAttribute('data-state', state);
}

// The sign of the lost connection; it is told once, when it comes.
function setLost(lost) {
  mark('lost', lost);
  if ($('signText').textContent !== (lost ? say.offline : '')) write('signText', lost && say.offline);
}

// Pairing

function pair(fragment) {
  keys = derivePairingKeys(parseFragment(fragment, 'dsp/v1 check')); // C3
  var stays = keep(fragment.slice(1, 86)); // C29
  paired = fragment.slice(0, 86);
  mark('unkept', !stays);
  if (stays && location.hash && window.history && history.replaceState) {
    history.replaceState(null, '', location.pathname);
  } else if (!stays && location.hash.slice(0, 86) !== paired) {
    location.replace(paired); // so that a bookmark holds it
  }
  machine = makeMachine(keys.psk);
  paint();
  sayHello();
}

function keep(digits) {
  try {
    localStorage.setItem(STORE, digits);
    return localStorage.getItem(STORE) === digits;
  } catch (e) {
    return false;
  }
}

function kept() {
  try {
    return localStorage.getItem(STORE);
  } catch (e) {
    return null;
  }
}

// C30
function unpair() {
  discard();
  forget();
  unpairMachine(machine);
  keys = null;
  try {
    localStorage.removeItem(STORE);
  } catch (e) { /* nothing was kept */ }
  mark('unkept', false);
  paint();
  askForPairing('unpaired');
}

function askForPairing(state, error) {
  speak();
  setState(state);
  setLost(false);
  write('spoken', '');
  write('pairingHeading', say[state]);
  write('pairingText', state === 'unpaired' ? say.unpairedText : say.pairingText);
  write('pairingError', error);
  for (var i = 0; i < 17; i++) {
    groups[i].value = '';
    groups[i].setAttribute('aria-label', fill(say.group, 'n', i + 1));
  }
  markGroups();
  arrange();
}

// Typing: 17 groups of five (C4).

var groups = [];

function makeGroups() {
  for (var i = 0; i < 17; i++) {
    var input = document.createElement('input');
    input.type = 'tel'; // brings the keypad with digits, in old browsers too
    input.setAttribute('inputmode', 'numeric');
    input.setAttribute('pattern', '[0-9]*');
    input.setAttribute('autocomplete', 'off');
    input.oninput = typed(i);
    input.onkeydown = erased(i);
    $('groups').appendChild(input);
    groups.push(input);
  }
  $('pairing').onsubmit = function (event) {
    event.preventDefault();
    pairTyped();
  };
}

// What is typed or pasted into one group flows on into the next ones.
function typed(index) {
  return function () {
    var digits = groups[index].value.replace(/^.*#/, '').replace(/[^0-9]/g, '');
    var full = digits.length >= 5;
    for (var i = index; i < 17 && digits; i++) {
      groups[i].value = digits.slice(0, 5);
      digits = digits.slice(5);
    }
    if (!full) groups[index].value = groups[index].value.replace(/[^0-9]/g, '');
    write('pairingError', markGroups() ? say.groupText : '');
    if (full && groups[i]) groups[i].focus();
    if (typedDigits().length === 85) pairTyped();
  };
}

// Backspace in an empty group goes on in the one before.
function erased(index) {
  return function (event) {
    if (event.keyCode !== 8 || groups[index].value || !index) return;
    var before = groups[index - 1];
    before.value = before.value.slice(0, -1);
    markGroups();
    before.focus();
    event.preventDefault();
  };
}

function markGroups() {
  var wrong = 0;
  for (var i = 0; i < 17; i++) {
    var high = parseInt(groups[i].value, 10) > 65535;
    groups[i].className = high ? 'wrong' : groups[i].value.length === 5 ? 'full' : '';
    groups[i].setAttribute('aria-invalid', high ? 'true' : 'false');
    if (high) wrong++;
  }
  return wrong;
}

function typedDigits() {
  var digits = '';
  for (var i = 0; i < 17; i++) digits += groups[i].value;
  return digits;
}

function pairTyped() {
  if (markGroups()) return;
  try {
    pair('#' + typedDigits());
  } catch (e) {
    return write('pairingError', say.checkText);
  }
  fillScreen();
}

// Hello

function sayHello() {
  discard();
  if (!keys || machine.hidden) return;
  var made = now();
  var key = spare || makeKey();
  spare = null;
  var first = sayFirst(machine, key, made);
  request = new XMLHttpRequest();
  request.open('POST', relay + '/v1/c/' + keys.cid + '/hello');
  request.responseType = 'arraybuffer';
  request.onload = answered;
  request.onerror = request.onabort = failed;
  request.send(concat(keys.rtok, first).buffer);
  if (machine.failures > 1) probe(request);
  clearTimeout(sparing);
  sparing = setTimeout(function () {
    if (!spare && !machine.hidden && keys) spare = makeKey();
  }, 100);
}

// A key takes a slow tablet a good part of the time that a hello takes.
function makeKey() {
  var secret = random(32);
  return { secret: secret, point: x25519.scalarMultBase(secret) };
}

// A hello that waits says nothing, for up to 25 s. After a failure the relay is asked something that
// it answers at once, so that the sign of the lost connection goes when the connection is back.
function probe(waiting) {
  var asked = question = new XMLHttpRequest();
  asked.open('GET', relay + '/v1/info');
  asked.onload = function () {
    setTimeout(function () {
      if (asked.status === 200 && request === waiting) connected();
    }, 1000);
  };
  asked.send();
}

function discard() {
  clearTimeout(retry);
  if (request) {
    request.onload = request.onerror = request.onabort = null;
    request.abort();
    request = null;
  }
  if (question) {
    question.onload = null;
    question.abort();
    question = null;
  }
  dropHello(machine);
}

// C22
function forget() {
  clearTimeout(sparing);
  if (spare) erase(spare.secret);
  spare = null;
}

function answered() {
  var asked = request.getResponseHeader('Retry-After');
  var sealed = request.status === 200 ? new Uint8Array(request.response) : null;
  go(hear(machine, request.status, sealed, asked, now(), Math.random()));
}

function failed() {
  var time = now();
  var delay = passTime(machine, time);
  go(machine.hello ? failMachine(machine, null, time) : delay);
}

// What the machine has decided, done.
function go(delay) {
  if (keys && !machine.psk) return unpair(); // C30
  if (machine.turn !== drawn) paint();
  if (machine.failures > Math.max(1, failures)) setLost(true);
  else if (!machine.failures) connected();
  failures = machine.failures;
  if (machine.failures > 1 && machine.shown.kind === 'idle') setState('offline');
  if (delay !== null) next(delay);
}

function connected() {
  setLost(false);
  if (root.getAttribute('data-state') === 'offline') setState('idle');
}

function next(delay) {
  discard();
  retry = setTimeout(sayHello, delay);
}

// Painting

function paint() {
  var content = machine.shown;
  drawn = machine.turn;
  if (content.kind !== 'idle') stir();
  speak(content.lang || machine.idle.lang);
  blank();
  if (content.kind === 'idle') paintIdle();
  if (content.kind === 'live') paintLive();
  if (content.kind === 'ticket') paintTicket();
  if (content.kind === 'thanks') write('spoken', say.thanks);
  setState(content.kind);
  arrange();
}

function stir() {
  stirred = now();
  mark('quiet', false);
}

function paintIdle() {
  write('idleName', machine.shown.name || say.idle);
  write('notice', Object.prototype.hasOwnProperty.call(say.notices, machine.shown.notice) ? say.notices[machine.shown.notice] : '');
}

function paintLive() {
  var list = $('lines');
  for (var i = 0; i < machine.shown.live.length; i++) {
    var line = document.createElement('p');
    var split = /^(.+?)\s+(\S*\d\S*(?:\s[^\s\d]{1,3})?)$/.exec(machine.shown.live[i]);
    if (split) { // an amount at the end stands at the right
      var amount = document.createElement('span');
      amount.textContent = split[2];
      line.appendChild(amount);
    }
    line.appendChild(document.createTextNode(split ? split[1] : machine.shown.live[i]));
    if (i === machine.shown.live.length - 1) line.className = 'last';
    list.appendChild(line);
  }
}

function paintTicket() {
  write('ticketName', machine.shown.name || machine.idle.name);
  write('total', machine.shown.total);
  if (machine.shown.time) addFact(machine.shown.time);
  if (machine.shown.no) addFact(fill(say.number, 'n', machine.shown.no));
  code = qrcode.make(pageOrigin + '/#', machine.shown.digits); // C25, T10: from the origin of our own page
  mark('last', false);
  write('spoken', say.scan);
  mark('unkept', false);
}

function addFact(text) {
  var fact = document.createElement('span');
  fact.textContent = text;
  $('facts').appendChild(fact);
}

// C22, C23: what has ended is not left behind in the page either.
function blank() {
  write('total', '');
  write('facts', '');
  write('left', '');
  write('spoken', '');
  code = null;
  $('qr').width = $('qr').height = 1;
  while ($('lines').firstChild) $('lines').removeChild($('lines').firstChild);
}

// The sizes: a rem from the screen, and the code as large as the screen allows. A form is read from
// near, and by whoever enlarges the page: its rem is the browser's own, but on very large screens.
function arrange() {
  var width = window.innerWidth;
  var height = window.innerHeight;
  var wide = width >= height;
  var state = root.getAttribute('data-state');
  var rem = Math.max(8, wide ? Math.min(width / 64, height / 40) : Math.min(width / 36, height / 56));
  if (state === 'pairing' || state === 'unpaired') rem = width < 1600 ? 0 : Math.max(16, rem);
  root.style.fontSize = rem ? rem + 'px' : '100%';
  mark('wide', wide);
  mark('tall', !wide);
  if (machine.shown.kind === 'idle') fit('idleName', 5.2, 0.38 * height);
  if (machine.shown.kind === 'thanks') {
    fit('thanksHeading', 6);
    drawTick($('tick'), 13 * rem);
  }
  if (machine.shown.kind === 'ticket') {
    arrangeTicket(width, height, rem, wide);
    drawRing();
  }
}

function arrangeTicket(width, height, rem, wide) {
  var beside = $('beside');
  var style = $('code').style;
  var text;
  var side;
  beside.style.top = 0;
  mark('cramped', false);
  if (wide) {
    beside.style.right = 2 * rem + 'px';
    beside.style.left = width - 19 * rem + 'px';
    fit('total', 5.6);
    fit('scan', 2.6);
    mark('cramped', beside.offsetHeight > height - rem);
    side = drawCode(Math.min(height, width - 19 * rem));
    style.left = snap(Math.min(rem, (height - side) / 2, (width - 19 * rem - side) / 2));
    style.top = snap((height - side) / 2);
    beside.style.left = Math.ceil(parseFloat(style.left) + side) + 'px';
    fit('total', 5.6);
    beside.style.top = Math.max(0.5 * rem, (height - beside.offsetHeight) / 2) + 'px';
  } else {
    height -= 4.6 * rem; // what is left of its time
    beside.style.left = beside.style.right = 2 * rem + 'px';
    beside.style.top = 1.5 * rem + 'px';
    fit('total', 5.6);
    fit('scan', 2.6);
    mark('cramped', height - beside.offsetHeight - 1.5 * rem < width);
    text = beside.offsetHeight + 1.5 * rem;
    side = drawCode(Math.min(width, height - text));
    style.left = snap((width - side) / 2);
    style.top = snap(text + (height - text - side) / 2);
  }
}

// Smaller, until nothing sticks out.
function fit(id, size, height) {
  var element = $(id);
  do {
    element.style.fontSize = size + 'rem';
    size *= 0.92;
  } while (size > 1.4 &&
    (element.scrollWidth > element.clientWidth || (height && element.offsetHeight > height)));
}

function pixels() {
  return window.devicePixelRatio || 1;
}

// Whole device pixels, or the modules blur.
function snap(length) {
  return Math.floor(length * pixels()) / pixels() + 'px';
}

function drawCode(side) {
  var canvas = $('qr');
  var count = code.getModuleCount();
  var scale = Math.max(1, Math.floor(side * pixels() / (count + 8)));
  var size = scale * (count + 8); // a quiet zone of 4 modules
  canvas.width = canvas.height = size;
  canvas.style.width = canvas.style.height = size / pixels() + 'px';
  var paper = canvas.getContext('2d');
  paper.fillStyle = '#fff';
  paper.fillRect(0, 0, size, size);
  paper.fillStyle = '#000';
  for (var row = 0; row < count; row++) {
    for (var column = 0; column < count; column++) {
      var from = column;
      while (column < count && code.isDark(row, column)) column++;
      if (column > from) {
        paper.fillRect((from + 4) * scale, (row + 4) * scale, (column - from) * scale, scale);
      }
    }
  }
  return size / pixels();
}

// A ring that empties, and the seconds in it.
function drawRing() {
  var left = Math.max(0, machine.until - elapsed(machine.accepted, now()));
  var canvas = $('ring');
  var size = Math.round(parseFloat(root.style.fontSize) * 3.8 * pixels());
  var paper = canvas.getContext('2d');
  var share = Math.min(1, left / (1000 * machine.shown.seconds));
  var seconds = String(Math.ceil(left / 1000));
  canvas.width = canvas.height = size;
  paper.lineWidth = size / 11;
  paper.strokeStyle = '#d5e3dc';
  paper.beginPath();
  paper.arc(size / 2, size / 2, size * 0.44, 0, 2 * Math.PI, false);
  paper.stroke();
  paper.strokeStyle = '#0a6b4f';
  paper.beginPath();
  paper.arc(size / 2, size / 2, size * 0.44, (1.5 - 2 * share) * Math.PI, 1.5 * Math.PI, false);
  paper.stroke();
  if ($('left').textContent !== seconds) write('left', seconds);
}

function drawTick(canvas, side) {
  var size = Math.round(side * pixels());
  canvas.width = canvas.height = size;
  var paper = canvas.getContext('2d');
  paper.strokeStyle = '#fff';
  paper.lineWidth = size / 16;
  paper.lineCap = paper.lineJoin = 'round';
  paper.beginPath();
  paper.arc(size / 2, size / 2, size * 0.45, 0, 7);
  paper.stroke();
  paper.beginPath();
  paper.moveTo(size * 0.3, size * 0.52);
  paper.lineTo(size * 0.45, size * 0.67);
  paper.lineTo(size * 0.71, size * 0.36);
  paper.stroke();
}

// Time

function tick() {
  var time = now();
  var delay = passTime(machine, time);
  if (!keys) return;
  if (delay !== null || machine.turn !== drawn) {
    if (delay === 0) forget(); // C45: it slept
    return go(delay);
  }
  if (machine.shown.kind === 'ticket') drawRing();
  else if (machine.shown.kind === 'idle') rest(time);
}

// An idle screen that never moves burns in: it wanders by a hair, and after a while it dims.
var QUIET = 30 * 60000;

function rest(time) {
  var rem = parseFloat(root.style.fontSize);
  var phase = elapsed(stirred, time) / 60000;
  place('left', 'right', 1.5 * rem * Math.sin(phase));
  place('top', 'bottom', 1.5 * rem * Math.sin(phase * 0.7));
  if (elapsed(stirred, time) > QUIET) mark('quiet', true);
}

function place(edge, opposite, length) {
  var style = $('idle').style;
  var moved = Math.round(length);
  if (style[edge] === moved + 'px') return;
  style[edge] = moved + 'px';
  style[opposite] = -moved + 'px';
}

// C42: who needs longer taps.
function touched() {
  stir();
  if (machine.shown.kind !== 'ticket') {
    if (/unkept/.test(root.className)) return mark('unkept', false); // it was read
    return fillScreen();
  }
  tapMachine(machine, now());
  mark('last', machine.until >= LONGEST_TICKET);
  drawRing();
}

// C22
function hide() {
  discard();
  forget();
  hideMachine(machine);
  if (keys) paint();
}

function show() {
  var delay = showMachine(machine, now());
  stayAwake();
  if (delay !== null && keys) sayHello();
}

function watchVisibility() {
  var prefix = document.hidden === undefined && document.webkitHidden !== undefined ? 'webkit' : '';
  function changed() {
    if (prefix ? document.webkitHidden : document.hidden) hide();
    else show();
  }
  document.addEventListener(prefix + 'visibilitychange', changed, false);
  document.addEventListener('freeze', hide, false);
  document.addEventListener('resume', show, false);
  window.addEventListener('pagehide', hide, false);
  window.addEventListener('pageshow', show, false);
}

// Where there is no wake lock, nothing that a page can do helps: the device's settings do, and the
// page says so while it is paired. (A silent film keeps some awake; it costs a slow tablet more than
// all the rest of this page, and the policy would have to allow films.)
var awake = null;

function stayAwake() {
  if (awake || machine.hidden || !navigator.wakeLock || !navigator.wakeLock.request) return;
  awake = {};
  navigator.wakeLock.request('screen').then(function (lock) {
    awake = lock;
    lock.onrelease = sleepy;
  }, sleepy);
}

function sleepy() {
  awake = null;
}

function fillScreen() {
  var ask = root.requestFullscreen || root.webkitRequestFullscreen || root.webkitRequestFullScreen;
  var full = document.fullscreenElement || document.webkitFullscreenElement;
  if (keys && ask && !full) {
    var asked = ask.call(root);
    if (asked && asked.then) asked.then(null, function () {});
  }
}

// The page itself: a few times an hour an idle display asks whether there is a newer one.

var policy = policyInUse(); // it names the hashes of our script and style
var served = null; // this page as it is served, but for these two
var tag = null; // its ETag
var looking = null;

function policyInUse() {
  var tags = document.getElementsByTagName('meta');
  for (var i = 0; i < tags.length; i++) {
    if (tags[i].httpEquiv === 'Content-Security-Policy') return tags[i].content;
  }
}

function lookLater() {
  setTimeout(look, 60000 * (10 + 15 * Math.random()));
}

function look() {
  lookLater();
  if (looking) looking.abort(); // for ten minutes there was no answer
  looking = null;
  if (!isAtRest() || !/^http/.test(location.protocol)) return;
  var asked = looking = new XMLHttpRequest();
  asked.open('GET', location.pathname);
  if (tag) asked.setRequestHeader('If-None-Match', tag);
  asked.onload = function () {
    looking = null;
    if (asked.status === 200) compare(asked.responseText, asked.getResponseHeader('ETag'));
  };
  asked.send();
}

// Nothing has been shown for two minutes, and the relay is there.
function isAtRest() {
  return keys && !machine.hidden && !machine.failures && root.getAttribute('data-state') === 'idle' &&
    elapsed(stirred, now()) > 120000;
}

// A wifi that wants a password answers with a page of its own; to that one nobody could come back
// from. And where a new page is told of but the old one comes again, one reload is enough.
function compare(text, newTag) {
  var found = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(text);
  var isOurs = found && text.indexOf('content="e2ee-ticket display"') > 0 && /<\/html>\s*$/.test(text);
  if (!isOurs) return;
  var bare = without(without(text, 'style'), 'script');
  if (found[1] === policy && (served === null || served === bare)) {
    served = bare;
    tag = newTag;
    return;
  }
  var name = 'e2ee-ticket ' + (newTag || found[1]);
  if (window.name === name || !isAtRest()) return;
  window.name = name; // stays over a reload
  location.reload();
}

function without(text, element) {
  return text.slice(0, text.indexOf('<' + element + '>')) + text.slice(text.indexOf('</' + element + '>'));
}

// Start

function start() {
  speak();
  makeGroups();
  watchVisibility();
  window.onresize = arrange;
  window.onhashchange = function () {
    if (location.hash.length > 1 && location.hash.slice(0, 86) !== paired) location.reload();
  };
  $('stage').onclick = touched;
  stirred = now();
  setInterval(tick, TICK);
  setInterval(stayAwake, 60000);
  stayAwake();
  lookLater();
  arrange();
  var digits = kept();
  try {
    if (location.hash.length > 1) return pair(location.hash);
    if (digits) return pair('#' + digits);
  } catch (e) {
    return askForPairing('pairing', say.linkText);
  }
  askForPairing('pairing');
}

start();
