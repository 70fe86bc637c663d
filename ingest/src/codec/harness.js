// Runs once in every new engine, before the codec. Takes away what outlives a call, freezes the rest, and returns the one
// function that the host calls. `code` is the codec as a function: each call evaluates it anew, so that its variables
// are fresh, and nothing that it can reach afterwards is writable. `frozen` is false for codecs that extend built-in objects;
// their engine is thrown away after each call.
(function (frozen, code) {
  "use strict";
  const G = globalThis;
  const { ownKeys, getPrototypeOf, deleteProperty, construct } = Reflect;
  const { stringify, parse } = JSON;
  const RealDate = Date;
  let now = 0, random = 1;

  // The only clock of a codec is the time of receipt, so that decoding again gives the same.
  function PorticoDate(...a) {
    if (!new.target) return new RealDate(now).toString();
    return construct(RealDate, a.length ? a : [now], new.target === PorticoDate ? RealDate : new.target);
  }
  PorticoDate.prototype = RealDate.prototype;
  PorticoDate.now = () => now;
  PorticoDate.parse = RealDate.parse;
  PorticoDate.UTC = RealDate.UTC;
  Object.defineProperty(PorticoDate, "name", { value: "Date" });
  RealDate.prototype.constructor = PorticoDate;
  const hidden = (object, key, value) => Object.defineProperty(object, key, { value, writable: true, configurable: true, enumerable: false });
  hidden(G, "Date", PorticoDate);
  Math.random = () => (random = (random * 48271) % 2147483647) / 2147483647;

  const silent = () => {};
  hidden(G, "console", { log: silent, info: silent, warn: silent, error: silent, debug: silent, trace: silent });

  // No code from text: it could leave the function that holds the codec.
  const functions = [function () {}, function* () {}, async function () {}, async function* () {}];
  const refused = function () { throw new TypeError("code from text is not run in codecs"); };
  for (const f of functions) Object.defineProperty(getPrototypeOf(f), "constructor", { value: refused, configurable: true });
  refused.prototype = Function.prototype;
  hidden(G, "Function", refused);
  delete G.eval;
  // Setters that write into the engine itself.
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  for (const key of ["WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "Atomics", "queueMicrotask", "performance"]) delete G[key];

  if (frozen) {
    const seen = new Set([G]);
    const open = [];
    const visit = (value) => {
      if ((typeof value === "object" || typeof value === "function") && value !== null && !seen.has(value)) {
        seen.add(value);
        open.push(value);
      }
    };
    const properties = (object) => {
      for (const key of ownKeys(object)) {
        const p = Reflect.getOwnPropertyDescriptor(object, key);
        visit(p.value); visit(p.get); visit(p.set);
        if (object === G && p.configurable) {
          Object.defineProperty(G, key, "value" in p ? { writable: false, configurable: false } : { configurable: false });
        }
      }
    };
    properties(G);
    const iterators = [[].values(), new Map().entries(), new Set().values(), ""[Symbol.iterator](), "".matchAll(/x/g),
      [].values().map((x) => x), [].values().flatMap((x) => x), Iterator.from({ next: silent }), (function* () {})(), (async function* () {})()];
    for (const f of functions.concat(iterators)) visit(getPrototypeOf(f));
    for (const f of functions) visit(f.prototype);
    while (open.length) {
      const object = open.pop();
      visit(getPrototypeOf(object));
      properties(object);
      // Typed arrays with elements cannot be frozen; the engine holds none.
      Object.freeze(object);
    }
  }
  const known = new Set(ownKeys(G));
  const nKnown = known.size;
  const has = Set.prototype.has;

  // Whether the global object is as it was, after what can be deleted is deleted.
  function clean() {
    if (getPrototypeOf(G) !== Object.prototype) return false;
    if (ownKeys(G).length === nKnown) return true;
    for (const key of ownKeys(G)) if (!has.call(known, key)) deleteProperty(G, key);
    return ownKeys(G).length === nKnown;
  }

  const NAMES = [["decodeUplink", "Decode", "Decoder"], ["decodeDownlink"], ["encodeDownlink", "Encode", "Encoder"]];
  const named = (found, module, names) => {
    for (const name of names) {
      if (typeof found[name] === "function") return [found[name], name];
      const exported = module.exports;
      if (exported && typeof exported[name] === "function") return [exported[name], name];
      const fallback = exported && exported.default;
      if (fallback && typeof fallback[name] === "function") return [fallback[name], name];
    }
    const exported = module.exports;
    if (names === NAMES[0] && exported && typeof exported.default === "function") return [exported.default, names[0]];
    return [undefined, ""];
  };

  // `what`: 0 decodes an uplink, 1 decodes a downlink, 2 encodes one. The answer: "1" when clean, the name
  // of the function, a line break, the result as JSON. An empty text: the codec has no such function.
  return (what, bytes, port, at, json) => {
    now = at;
    random = (at % 2147483646) + 1;
    const module = { exports: {} };
    const [f, name] = named(code(module, module.exports), module, NAMES[what]);
    if (!f) return "";
    const extra = json === "" ? {} : parse(json);
    let result;
    if (name === "decodeUplink" || name === "decodeDownlink") {
      result = f({ bytes, fPort: port, recvTime: new RealDate(at), variables: extra });
    } else if (name === "Decode") {
      result = f(port, bytes, extra);
    } else if (name === "Decoder") {
      result = f(bytes, port);
    } else if (name === "encodeDownlink") {
      result = f({ data: extra.data, fPort: port, variables: extra.variables });
    } else if (name === "Encode") {
      result = f(port, extra.data, extra.variables);
    } else {
      result = f(extra.data, port);
    }
    const text = stringify(result);
    return (clean() ? "1" : "0") + name + "\n" + (text === undefined ? "" : text);
  };
})
