// What both pages do with their elements: text goes in as text, never as HTML.

function $(id) {
  return document.getElementById(id);
}

function write(id, text) {
  $(id).textContent = text || '';
}

function fill(text, name, value) {
  return text.split('{' + name + '}').join(value);
}
