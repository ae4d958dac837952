// Makes hash.js, cipher.js, opener.js, x25519.js and qrcode.js from the packages that package-lock.json pins.
//
//     npm ci && npm run build        the same bytes on every machine; a test compares them
//
// rollup puts a package and what it needs into one file, and leaves out what the pages never call
// (methods are named in UNUSED below); Babel lowers that file to ES5. Hash and cipher
// then lose the texts of their errors and are shortened by terser, because the ticket page has to arrive in one round trip; to read
// them as they were before that, run `npm run build -- --readable`.

import { transformSync } from "@babel/core";
import resolve from "@rollup/plugin-node-resolve";
import { readFileSync, writeFileSync } from "node:fs";
import { rollup } from "@rollup/wasm-node";
import { minify } from "terser";

// Methods that nothing calls. Rollup drops unused functions by itself, but never methods.
const UNUSED = new Set([
  "saveState", "restoreState", "cleanSavedState", // resuming a hash
  "createTableTag", "createSvgTag", "createDataURL", "createImgTag", "createASCII",
  "renderTo2dContext", // drawing a QR code: display.js does that
]);

const BUNDLES = {
  hash: `
    export { hash as sha256 } from "@stablelib/sha256";`,
  cipher: `
    import { ChaCha20Poly1305 } from "@stablelib/chacha20poly1305";
    export function seal(key, nonce, plaintext, aad) {
      return new ChaCha20Poly1305(key).seal(nonce, plaintext, aad);
    }
    export function open(key, nonce, sealed, aad) {
      return new ChaCha20Poly1305(key).open(nonce, sealed, aad);
    }`,
  // The phone opens and never seals.
  opener: `
    import { ChaCha20Poly1305 } from "@stablelib/chacha20poly1305";
    export function open(key, nonce, sealed, aad) {
      return new ChaCha20Poly1305(key).open(nonce, sealed, aad);
    }`,
  x25519: `
    export { scalarMult, scalarMultBase } from "@stablelib/x25519";`,
  qrcode: `
    import qrcode from "qrcode-generator";
    export function make(prefix, digits) {
      var code = qrcode(0, "M");
      code.addData(prefix, "Byte");
      code.addData(digits, "Numeric");
      code.make();
      return code;
    }`,
};

const UNUSED_BY = { opener: new Set(["seal"]) };

function withoutUnused({ types }, { name }) {
  const isUnused = (node) => types.isIdentifier(node) &&
    (UNUSED.has(node.name) || (UNUSED_BY[name] && UNUSED_BY[name].has(node.name)));
  return {
    visitor: {
      Program(program) {
        program.traverse({
          ClassMethod(path) {
            if (isUnused(path.node.key)) path.remove();
          },
          ExpressionStatement(path) {
            const { expression } = path.node;
            if (
              types.isAssignmentExpression(expression) &&
              types.isMemberExpression(expression.left) &&
              isUnused(expression.left.property)
            ) path.remove();
          },
        });
      },
    },
  };
}

// What is said where a package is called wrongly; these pages call it as the vectors say.
function withoutMessages({ types }) {
  return {
    visitor: {
      NewExpression({ node }) {
        if (types.isIdentifier(node.callee, { name: "Error" })) node.arguments = [];
      },
    },
  };
}

// What the ticket page needs.
const SHORTENED = new Set(["hash", "cipher", "opener"]);

const QUIET = { configFile: false, babelrc: false, comments: false };

function entry(name) {
  return {
    name: "entry",
    resolveId: (id) => (id === name ? `\0${name}` : null),
    load: (id) => (id === `\0${name}` ? BUNDLES[name] : null),
    transform: (code) => ({
      code: transformSync(code, { ...QUIET, plugins: [[withoutUnused, { name }]] }).code,
      map: null,
    }),
  };
}

// Local names, and the fields that begin with an underscore.
async function shorten(code) {
  const { code: short } = await minify(code, {
    ecma: 5,
    compress: { passes: 3 },
    mangle: { properties: { regex: /^_/ } },
  });
  return short;
}

for (const name of Object.keys(BUNDLES)) {
  const bundle = await rollup({ input: name, plugins: [entry(name), resolve()] });
  const { output } = await bundle.generate({
    format: "iife",
    name: name === "opener" ? "cipher" : name,
    esModule: false,
    freeze: false,
    externalLiveBindings: false,
    generatedCode: "es5",
  });
  const { code } = transformSync(output[0].code, {
    ...QUIET,
    plugins: SHORTENED.has(name) ? [withoutMessages] : [],
    sourceType: "script",
    presets: [["@babel/preset-env", { targets: { ie: "9" }, loose: true, modules: false }]],
    assumptions: {
      iterableIsArray: true,
      noClassCalls: true,
      setClassMethods: true,
      setPublicClassFields: true,
    },
  });
  const short = SHORTENED.has(name) && !process.argv.includes("--readable");
  const served = short ? await shorten(code) : code;
  const target = new URL(`${name}.js`, import.meta.url);
  writeFileSync(target, `${served}\n`);
  console.log(`${name}.js`, readFileSync(target).length);
}
