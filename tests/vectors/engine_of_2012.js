// A JavaScript engine as a tablet of 2012 had it: everything newer is deleted from a fresh context,
// so that a script which needs it fails here as it would there.
//
// What stays is ECMAScript 5 without Function.prototype.bind, and typed arrays with set and subarray only.

'use strict';

const vm = require('vm');

const KEPT = {
  '': 'Object Function Array String Boolean Number Date RegExp Error EvalError RangeError ' +
    'ReferenceError SyntaxError TypeError URIError Math JSON NaN Infinity undefined eval parseInt ' +
    'parseFloat isNaN isFinite decodeURI decodeURIComponent encodeURI encodeURIComponent escape ' +
    'unescape ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array ' +
    'Int32Array Uint32Array Float32Array Float64Array',
  Object: 'length name prototype create defineProperty defineProperties freeze getOwnPropertyDescriptor ' +
    'getOwnPropertyNames getPrototypeOf isExtensible isFrozen isSealed keys preventExtensions seal',
  'Object.prototype': 'constructor hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString ' +
    'toString valueOf __proto__ __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__',
  'Function.prototype': 'length name constructor apply call toString arguments caller',
  Array: 'length name prototype isArray',
  'Array.prototype': 'length constructor concat every filter forEach indexOf join lastIndexOf map pop ' +
    'push reduce reduceRight reverse shift slice some sort splice toLocaleString toString unshift',
  String: 'length name prototype fromCharCode',
  'String.prototype': 'length constructor charAt charCodeAt concat indexOf lastIndexOf localeCompare ' +
    'match replace search slice split substr substring toLocaleLowerCase toLocaleUpperCase ' +
    'toLowerCase toString toUpperCase trim valueOf',
  Number: 'length name prototype MAX_VALUE MIN_VALUE NaN NEGATIVE_INFINITY POSITIVE_INFINITY',
  Math: 'E LN10 LN2 LOG10E LOG2E PI SQRT1_2 SQRT2 abs acos asin atan atan2 ceil cos exp floor log max ' +
    'min pow random round sin sqrt tan',
  JSON: 'parse stringify',
  Date: 'length name prototype UTC now parse',
  'RegExp.prototype': 'constructor exec test toString compile global ignoreCase multiline source lastIndex flags',
  ArrayBuffer: 'length name prototype',
  'ArrayBuffer.prototype': 'constructor byteLength'
};
const TYPED = 'constructor buffer byteLength byteOffset length set subarray';

// Runs inside the context: from outside its intrinsics could not be reached one by one.
const STRIP = `(function (kept, typed) {
  var all = this;
  var typedArray = Object.getPrototypeOf(Uint8Array);
  function strip(object, names) {
    var keep = names.split(' ');
    Object.getOwnPropertyNames(object).forEach(function (name) {
      if (keep.indexOf(name) < 0) delete object[name];
    });
  }
  strip(typedArray, 'length name prototype');
  strip(typedArray.prototype, typed);
  // As WebKit 538 (Safari 7) has it: an end that is undefined counts as 0.
  var subarray = typedArray.prototype.subarray;
  typedArray.prototype.subarray = function (start, end) {
    return arguments.length < 2 ? subarray.call(this, start) : subarray.call(this, start, end | 0);
  };
  Object.keys(kept).forEach(function (path) {
    if (!path) return;
    strip(path.split('.').reduce(function (at, name) { return at[name]; }, all), kept[path]);
  });
  strip(all, kept['']);
})`;

/** A fresh context of such an engine, with the given names as its own globals. */
exports.makeEngine = function makeEngine(globals) {
  // An ordinary global object where there is one to be had: it is ten times as fast.
  const kind = vm.constants && vm.constants.DONT_CONTEXTIFY;
  const context = vm.createContext(kind || {});
  vm.runInContext(STRIP, context).call(vm.runInContext('this', context), KEPT, TYPED);
  for (const name of Object.keys(globals)) context[name] = globals[name];
  return { run: (code, filename) => vm.runInContext(code, context, { filename }), context };
};
