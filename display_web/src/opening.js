// The phone's page, first script: link → request. It stands before style and text, so that the
// relay has been asked before the rest of the page is here.

// Before anything else, the link leaves the address bar; a reload finds it in history.state.
var fragment = location.hash;
try {
  if (fragment) history.replaceState({ fragment: fragment }, '', location.pathname);
  else if (history.state && history.state.fragment) fragment = history.state.fragment;
} catch (e) { /* saved to disk: some browsers refuse there */ }
window.onhashchange = function () {
  location.reload();
};

var here = location.protocol + '//' + location.host;
var relay = document.querySelector('meta[name=relay]').content || here;
var state = 'opening';
var secret;
var id;
var request;

function fetchEnvelope() {
  request = new XMLHttpRequest();
  request.open('GET', relay + '/v1/t/' + id);
  request.responseType = 'arraybuffer';
  request.send();
}

if (location.protocol !== 'file:' && !/^\/((index|ticket)\.html)?$/.test(location.pathname)) {
  state = 'damaged'; // a scanner turned the fragment into a path
} else if (!fragment || fragment === '#') {
  state = 'about';
} else if (!window.Blob || !window.Uint8Array || !window.URL) {
  state = 'old';
} else {
  try {
    secret = parseFragment(fragment, 'tkt/v1 check');
    id = deriveId(secret);
    fetchEnvelope();
  } catch (e) {
    state = 'damaged'; // T9: nothing is sent
  }
}
