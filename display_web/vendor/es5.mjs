// The ES5 gate: every script of the given pages, as served, parses as ECMAScript 5, and no two of
// the files that share its scope declare the same name.
//
//     node es5.mjs ../dist/ticket.html …

import { parse } from "acorn";
import { readFileSync } from "node:fs";

function declared(body) {
  return body.flatMap((statement) => {
    if (statement.type === "FunctionDeclaration") return [statement.id.name];
    if (statement.type === "VariableDeclaration") {
      return statement.declarations.map((declaration) => declaration.id.name);
    }
    return [];
  });
}

let failed = false;
for (const page of process.argv.slice(2)) {
  const scripts = readFileSync(page, "utf8").match(/(?<=<script>)[^]*?(?=<\/script>)/g) ?? [];
  if (scripts.length === 0) throw new Error(`${page} has no script`);
  const shared = [];
  for (const script of scripts) {
    try {
      const tree = parse(script, { ecmaVersion: 5 });
      const statement = tree.body.at(-1);
      const own = statement.expression?.callee?.body?.body;
      const names = own ? declared(own) : shared.concat(declared(tree.body));
      const twice = names.filter((name, index) => names.indexOf(name) !== index);
      if (twice.length) throw new Error(`declared twice: ${twice.join(", ")}`);
      if (!own) shared.push(...declared(tree.body));
    } catch (error) {
      failed = true;
      console.error(`${page}: ${error.message}`);
    }
  }
}
process.exit(failed ? 1 : 0);
