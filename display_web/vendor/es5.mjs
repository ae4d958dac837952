// The ES5 gate: every script of the given pages, as served, parses as ECMAScript 5.
//
//     node es5.mjs ../dist/ticket.html …

import { parse } from "acorn";
import { readFileSync } from "node:fs";

let failed = false;
for (const page of process.argv.slice(2)) {
  const scripts = readFileSync(page, "utf8").match(/(?<=<script>)[^]*?(?=<\/script>)/g) ?? [];
  if (scripts.length === 0) throw new Error(`${page} has no script`);
  for (const script of scripts) {
    try {
      parse(script, { ecmaVersion: 5 });
    } catch (error) {
      failed = true;
      console.error(`${page}: not ES5: ${error.message}`);
    }
  }
}
process.exit(failed ? 1 : 0);
