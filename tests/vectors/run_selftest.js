// Runs dist/selftest.html's script, as served, in an engine of 2012, and prints what the page says.
//
//     node run_selftest.js display_web/dist/selftest.html

'use strict';

const fs = require('fs');
const { makeEngine } = require('./engine_of_2012.js');

const page = fs.readFileSync(process.argv[2], 'utf8');
const scripts = [...page.matchAll(/<script>([^]*?)<\/script>/g)].map((match) => match[1]);

function element() {
  return {
    children: [],
    textContent: '',
    attributes: {},
    appendChild(child) {
      this.children.push(child);
    },
    setAttribute(name, value) {
      this.attributes[name] = value;
    }
  };
}

const elements = {};
const root = element();
const document = {
  documentElement: root,
  createElement: element,
  createTextNode: (text) => ({ textContent: text, children: [] }),
  getElementById: (id) => (elements[id] = elements[id] || element())
};
const waiting = [];
const engine = makeEngine({
  document,
  navigator: { language: 'en' },
  setTimeout: (callback) => waiting.push(callback)
});
for (const script of scripts) engine.run(script, 'selftest.html');
while (waiting.length) waiting.shift()();

const text = (node) => node.textContent + node.children.map(text).join('');
process.stdout.write(JSON.stringify({
  state: root.attributes['data-state'],
  says: elements.result.textContent,
  items: elements.list.children.map(text)
}));
