/* Keeps a page up to date, and opens the print dialog. Everything works without it. */
(function () {
  'use strict';

  var root = document.body;
  var since = root.getAttribute('data-count');
  var RETRY_MS = 1500;
  var leaving = false;
  var failures = 0;
  window.addEventListener('pagehide', function () { leaving = true; });

  // The entry token is in the address's fragment, which no server and no log ever sees.
  var entrance = document.getElementById('enter');
  if (entrance) {
    var enter = function () {
      if (location.hash.length < 2) return;
      document.getElementById('token').value = location.hash.slice(1);
      history.replaceState(null, '', location.pathname);
      entrance.submit();
    };
    window.addEventListener('hashchange', enter);
    enter();
    return;
  }

  var frame = document.getElementById('receipt');
  var print = document.getElementById('print');
  if (frame && print) {
    var open = function () {
      try { frame.contentWindow.focus(); frame.contentWindow.print(); } catch (error) { window.print(); }
    };
    print.hidden = false;
    print.addEventListener('click', open);
    if (frame.contentDocument && frame.contentDocument.readyState === 'complete' && frame.contentWindow.location.href !== 'about:blank') open();
    else frame.addEventListener('load', open);
    return;
  }

  // The agent begins anew: go on when another run of it answers, or none has come in time.
  var again = document.getElementById('again');
  if (again) {
    var end = Date.now() + 8000;
    var look = function () {
      ask('/changes?since=-1', 'json', function (answer) {
        if (answer.run !== again.getAttribute('data-run') || Date.now() > end) location.replace(again.getAttribute('data-next'));
        else window.setTimeout(look, 300);
      }, function () { window.setTimeout(look, 300); });
    };
    look();
    return;
  }

  if (since === null || !document.querySelector('[data-live]')) return;

  function ask(address, kind, then, fail) {
    var request = new XMLHttpRequest();
    request.open('GET', address);
    request.responseType = kind;
    request.timeout = 60000;
    request.setRequestHeader('X-Requested-With', 'console');
    request.onload = function () {
      if (request.status === 403) { location.reload(); return; }
      if (request.status === 200 && request.response) then(request.response);
      else fail();
    };
    request.onerror = request.ontimeout = fail;
    request.send();
  }

  function wait() {
    ask('/changes?since=' + encodeURIComponent(since), 'json', function (answer) {
      failures = 0;
      lost(false);
      if (String(answer.count) === since) { wait(); return; }
      renew();
    }, later);
  }

  // One failure may be the agent beginning anew.
  function later() {
    if (leaving) return;
    failures += 1;
    lost(failures > 1);
    window.setTimeout(renew, RETRY_MS);
  }

  function lost(now) {
    document.getElementById('lost').hidden = !now;
    // A code of which nobody knows whether it still holds is not shown.
    document.body.classList[now ? 'add' : 'remove']('stale');
  }

  function renew() {
    var from = document.querySelector('[data-from]');
    ask(from ? from.getAttribute('data-from') : location.href, 'document', function (page) {
      var count = page.body && page.body.getAttribute('data-count');
      if (!count) { location.reload(); return; }
      failures = 0;
      lost(false);
      since = count;
      var parts = document.querySelectorAll('[data-live]');
      for (var i = 0; i < parts.length; i++) replace(parts[i], page.getElementById(parts[i].id));
      wait();
    }, later);
  }

  function replace(old, made) {
    if (!made || old.outerHTML === made.outerHTML) return;
    var focused = old.contains(document.activeElement) ? document.activeElement.id : '';
    var opened = [], details = old.querySelectorAll('details[open]');
    for (var i = 0; i < details.length; i++) opened.push(details[i].id);
    var added = document.importNode(made, true);
    for (var j = 0; j < opened.length; j++) {
      var found = added.querySelector('[id="' + opened[j].replace(/["\\]/g, '\\$&') + '"]');
      if (found) found.open = true;
    }
    old.parentNode.replaceChild(added, old);
    if (focused) {
      var again = document.getElementById(focused);
      // What had the focus may be gone: then the keyboard begins at the newest sale.
      if (again) again.focus();
      else document.getElementById('main').focus();
    }
    var said = added.getAttribute('data-say');
    if (said && said !== old.getAttribute('data-say')) document.getElementById('said').textContent = said;
  }

  wait();
})();
