// Tickets, version 1, third part: the receipt in words, after protocol.js.

// T45: what is not as a text must be is none. Else its lines, each a list of cells; `rest` says that
// the preview shows only what they cannot say (T43).
function readLines(parts) {
  var at = 0;
  var picture = 0;
  for (var i = parts.length - 1; i > 0; i--) {
    if (parts[i].type === 'image/png') picture = i;
    if (parts[i].type === 'text/tab-separated-values') {
      if (at) return null;
      at = i;
    }
  }
  if (!at || parts[at].body.length > 32768) return null;
  var text;
  try {
    text = decodeUTF8(parts[at].body);
  } catch (e) {
    return null;
  }
  if (text.slice(-1) !== '\n' ||
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]/.test(text)) return null;
  var lines = text.slice(0, -1).split('\n');
  for (i = 0; i < lines.length; i++) lines[i] = lines[i].split('\t');
  lines.rest = picture > at;
  return lines;
}
