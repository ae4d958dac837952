// The phone's page: link → envelope → receipt. The rules it keeps are those of spec/ticket.md and
// of the routes that spec/relay.md says the phone calls.

// Before anything else, the link leaves the address bar; a reload finds it in history.state.
var fragment = location.hash;
try {
  if (fragment) history.replaceState({ fragment: fragment }, '', location.pathname);
  else if (history.state && history.state.fragment) fragment = history.state.fragment;
} catch (e) { /* saved to disk: some browsers refuse there */ }
window.onhashchange = function () {
  location.reload();
};

var root = document.documentElement;
var origin = location.protocol + '//' + location.host;
var relay = document.querySelector('meta[name=relay]').content || origin;
var locale = pickLocale();
var language = locale.slice(0, 2).toLowerCase();
var say = words[language];

var WAIT = 60; // seconds that a ticket may be on its way
var STALL = 20000; // milliseconds without a byte
var ICONS = {
  opening: 'M5 3v18l2-2 2.5 2 2.5-2 2.5 2 2.5-2 2 2V3zM8 8h8M8 12h8',
  waiting: 'M12 3a9 9 0 1 0 .01 0M12 7v5l3 3',
  damaged: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M8 8l8 8M16 8l-8 8',
  expired: 'M6 3h12M6 21h12M7 3c0 5 10 13 10 18M17 3c0 5-10 13-10 18',
  received: 'M12 3a9 9 0 1 0 .01 0M8 12l3 3 5-6',
  revoked: 'M4 7h16M9 7V4h6v3M6 7l1 14h10l1-14M10 11v6M14 11v6',
  tampered: 'M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM12 8v5M12 16v.1',
  offline: 'M2 9c6-5 14-5 20 0M6 13c4-3 8-3 12 0M12 18v.1M4 21L20 3',
  about: 'M7 11V8a5 5 0 0 1 10 0v3M5 11h14v10H5zM12 15v2'
};
ICONS.absent = ICONS.waiting;

var id;
var keys;
var ticket;
var waited = 0;
var failures = 0;
var truncated = 0;
var timer;
var request;

function pickLocale() {
  var wanted = navigator.languages || [navigator.language];
  for (var i = 0; i < wanted.length; i++) {
    if (/^(\w\w)(?!\w)/.test(wanted[i]) && words[RegExp.$1.toLowerCase()]) return wanted[i];
  }
  return 'en';
}

function mark(name, on) {
  root.classList[on ? 'add' : 'remove'](name);
}

// States. `text` is another text than the state's own, `retry` whether there is a button.

function show(state, text, retry) {
  root.setAttribute('data-state', state);
  document.title = say[state] || say.receipt;
  write('heading', say[state]);
  write('text', (say[text || state + 'Text'] || '') + (/^(absent|expired|re|tamp)/.test(state) ? ' ' + say.ask : ''));
  write('count', '');
  $('icon').setAttribute('d', ICONS[state] || '');
  mark('retry', retry);
}

// Fetching

function fetchEnvelope() {
  clearTimeout(timer);
  if (request) request.onload = request.onerror = request.onprogress = null;
  request = new XMLHttpRequest();
  request.open('GET', relay + '/v1/t/' + id);
  request.responseType = 'arraybuffer';
  request.onload = answered;
  request.onerror = lost;
  request.onprogress = watch;
  request.send();
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
  timer = setTimeout(fetchEnvelope, seconds * 1000);
}

function lost(text) {
  show('offline', typeof text === 'string' ? text : '', true);
  again(Math.min(30, Math.pow(2, failures++)));
}

function answered() {
  var bytes = new Uint8Array(request.response || 0);
  clearTimeout(timer);
  if (request.status === 200) arrived(bytes);
  else if (request.status === 404) wait(Math.min(5, 1 + waited / 10));
  else if (request.status === 410) show(goneReason(bytes));
  else if (request.status === 429 || request.status === 503) busy();
  else lost();
}

function wait(seconds) {
  if (waited >= WAIT) return show('absent', '', true);
  if (root.getAttribute('data-state') !== 'waiting') show('waiting');
  write('count', WAIT - waited + ' s');
  waited += 1;
  timer = setTimeout(seconds > 1 ? function () {
    wait(seconds - 1);
  } : fetchEnvelope, 1000);
}

function busy() {
  show('waiting', 'busyText');
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
  // A page of somebody else's network is no envelope that was tampered with.
  if (!isLength(bytes.length)) {
    if (!hasMagic(bytes)) return lost('portalText');
    if (truncated++ < 3) return lost();
  }
  try {
    ticket = unseal(bytes, keys);
  } catch (error) {
    show('tampered', '', true);
    write('count', error.code);
    return;
  }
  ready();
}

// The receipt

function ready() {
  var name = plainName(ticket.receipt.name);
  var type = { type: 'application/pdf' }; // T36: whatever its bytes are
  show('ready');
  write('title', ticket.title || say.receipt);
  write('total', ticket.total);
  write('facts', facts());
  if (ticket.lang) $('receipt').lang = ticket.lang;
  $('save').href = URL.createObjectURL(new Blob([ticket.receipt.body], type));
  $('save').download = name;
  $('save').onclick = saved;
  showPreview();
  offerShare(name, type);
  mark('app', inApp());
  post('opened');
}

function facts() {
  var found = [];
  var at = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)/.exec(ticket.issued);
  if (at) {
    // The shop's own time, as it wrote it.
    at = new Date(at[1], at[2] - 1, at[3], at[4], at[5]);
    found.push(at.toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'short' }));
  } else if (ticket.issued) {
    found.push(ticket.issued);
  }
  if (ticket.number) found.push(fill(say.number, 'n', ticket.number));
  return found.join('\n');
}

function showPreview() {
  var picture = $('preview');
  $('zoom').style.display = 'none';
  if (!ticket.preview) return;
  picture.onload = function () {
    $('zoom').style.display = '';
  };
  picture.alt = [say.picture, ticket.title, ticket.total, facts()].join(' ');
  picture.src = URL.createObjectURL(new Blob([ticket.preview.body], { type: 'image/png' }));
  $('zoom').onclick = function () {
    mark('zoomed', !root.classList.contains('zoomed'));
  };
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
function inApp() {
  var agent = navigator.userAgent;
  $('copy').onclick = copyLink;
  return /; wv\)|FBA[NV]|Instagram|Line\/|MicroMessenger|Snapchat|GSA\//.test(agent) ||
    (/iP(hone|ad|od)/.test(agent) && !/Safari\//.test(agent));
}

function copyLink() {
  var field = document.createElement('input');
  field.value = origin + '/' + fragment.slice(0, 86);
  $('app').appendChild(field);
  field.select();
  field.setSelectionRange(0, 999);
  if (document.execCommand('copy')) {
    write('copy', say.copied);
    $('app').removeChild(field);
  }
}

// What the relay is told: opened, received, revoked. Nothing waits for it.

function post(state, done, attempt) {
  var body = concat(keys.tok, ascii(state)).buffer;
  var url = relay + '/v1/t/' + id + '/state';
  var note = new XMLHttpRequest();
  var unload = function () {
    if (note.readyState < 4 && navigator.sendBeacon) navigator.sendBeacon(url, body);
  };
  note.open('POST', url);
  note.onload = function () {
    if (note.status !== 204 && note.status !== 410) note.onerror();
    else if (done) done();
  };
  note.onerror = function () {
    if ((attempt || 0) < 5) {
      setTimeout(function () {
        post(state, done, (attempt || 0) + 1);
      }, 2000 << (attempt || 0));
    }
  };
  window.addEventListener('pagehide', unload);
  note.send(body); // no header and no upload listener: no preflight
}

function saved() {
  setTimeout(function () {
    post('received', function () {
      mark('note', true);
      mark('delete', true);
      write('noteText', say.saved);
    });
  }, 0);
}

function deleteNow() {
  post('revoked', function () {
    mark('delete', false);
    write('noteText', say.deleted);
  });
}

// Start

function start() {
  var secret;
  root.lang = language;
  write('retry', say.retry);
  write('save', say.save);
  write('share', say.share);
  write('appText', say.app);
  write('copy', say.copy);
  write('delete', say.deleteNow);
  write('more', say.more);
  write('privacy', fill(say.privacy, 'relay', relay.replace(/^.*\//, '')));
  write('moreText', fill(say.moreText, 'page', location.host));
  $('delete').onclick = deleteNow;
  $('retry').onclick = function () {
    waited = truncated = failures = 0;
    show('opening');
    fetchEnvelope();
  };
  window.addEventListener('online', function () {
    if (root.getAttribute('data-state') === 'offline') fetchEnvelope();
  });
  document.onkeydown = function (event) {
    if (event.keyCode === 27) mark('zoomed', false);
  };
  if (location.protocol !== 'file:' && !/^\/((index|ticket)\.html)?$/.test(location.pathname)) {
    return show('damaged'); // a scanner turned the fragment into a path
  }
  if (!fragment || fragment === '#') return show('about');
  if (!window.Blob || !window.Uint8Array || !window.URL) return show('about', 'oldText');
  try {
    secret = parseFragment(fragment, 'tkt/v1 check');
  } catch (e) {
    return show('damaged'); // T9: nothing is sent
  }
  id = deriveId(secret);
  show('opening');
  fetchEnvelope();
  keys = deriveKeys(secret); // while the request is on its way
}

start();
