// Calls the pages' functions in an engine of 2012: one JSON line of {call, args} in, one line out.
// Bytes travel as {"hex": "…"}.
//
//     node call.js FILE…          the files are run in one scope, in this order

'use strict';

const fs = require('fs');
const { makeEngine } = require('../../vectors/engine_of_2012.js');

const code = process.argv.slice(2).map((file) => fs.readFileSync(file, 'utf8')).join('\n');
const engine = makeEngine({});
const evaluate = engine.run(
  `(function () {'use strict';\n${code}\nreturn function (text) { return eval(text); }; })()`,
  'pages'
);
const Bytes = engine.run('Uint8Array', 'bytes');

function decode(value) {
  if (value && typeof value.hex === 'string') return new Bytes(Buffer.from(value.hex, 'hex'));
  return value;
}

function encode(value) {
  if (value instanceof Bytes) return { hex: Buffer.from(value).toString('hex') };
  if (value && typeof value === 'object') {
    const copy = {};
    for (const name of Object.keys(value)) copy[name] = encode(value[name]);
    return copy;
  }
  return value === undefined ? null : value;
}

const lines = fs.readFileSync(0, 'utf8').split('\n').filter(Boolean);
const answers = lines.map((line) => {
  const { call, args } = JSON.parse(line);
  try {
    return { value: encode(evaluate(call).apply(null, args.map(decode))) };
  } catch (error) {
    return { error: error.code || String(error) };
  }
});
process.stdout.write(answers.map((answer) => JSON.stringify(answer)).join('\n'));
