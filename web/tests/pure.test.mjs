// Parts of the pages that need neither a browser nor a server.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { it } from "node:test";
import * as esbuild from "esbuild";

/** A module of src, compiled in memory. */
async function load(name) {
  const entry = fileURLToPath(new URL(`../src/${name}`, import.meta.url));
  const { outputFiles } = await esbuild.build({ entryPoints: [entry], bundle: true, format: "esm", write: false, logLevel: "error" });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const { fieldsOfView, nameOf, ringOf } = await load("fields-of-view.ts");
const { addReplayed, conversion, previewFields } = await load("suggestion.ts");

it("a conversion is written as a person would", () => {
  assert.equal(conversion({ scale: 1, offset: 0 }), "");
  assert.equal(conversion({ scale: 0.1, offset: 0 }), "× 0.1");
  assert.equal(conversion({ scale: 0.5555555555555556, offset: -17.77777777777778 }), "× 0.555556 − 17.7778");
  assert.equal(conversion({ scale: 1, offset: 2 }), "+ 2");
});

it("the preview shows the fields that some row has, each once, in the order of the mapping", () => {
  const fields = [{ field: "b" }, { field: "a" }, { field: "never" }];
  const preview = [{ values: { a: 1, period: "PT1H" } }, { values: { b: 2 } }];
  assert.deepEqual(previewFields({ fields, preview }), ["b", "a", "period"]);
});

it("steps of a replay add up, and what is left out is counted once", () => {
  const step = (replayed, left) => ({ replayed, left, skipped: { cut: 2 }, stored: replayed - 1, late: 0, duplicate: 1, quarantined: 0, dropped: 0, rejects: [{ reason: "x", message: "m" }] });
  const sum = [step(500, 700), step(500, 200), step(200, 0)].reduce(addReplayed, null);
  assert.deepEqual([sum.replayed, sum.stored, sum.duplicate, sum.left, sum.skipped, sum.rejects.length], [1200, 1197, 3, 0, { cut: 2 }, 3]);
});

it("a field of view is a closed ring, and what is none draws nothing", () => {
  assert.deepEqual(ringOf("[[11,44],[12,44],[12,45]]"), [[11, 44], [12, 44], [12, 45], [11, 44]]);
  for (const text of ["", "{}", "[[11,44],[12,44]]", "[[11,44],[12],[12,45]]", "[[11,44],[12,null],[12,45]]"]) assert.equal(ringOf(text), null, text);
  const feature = (id, values) => ({ id, properties: { values } });
  const found = fieldsOfView([feature("urn:ngsi-ld:Camera:bologna:porta-1", { field_of_view: "[[11,44],[12,44],[12,45]]", state: "closed" }), feature("urn:x:y:z:w", {})]);
  assert.deepEqual(found.features.map((f) => f.properties), [{ id: "urn:ngsi-ld:Camera:bologna:porta-1", name: "Porta 1", closed: true }]);
  assert.equal(nameOf("urn:ngsi-ld:Camera:bologna:viale-aldini_2"), "Viale Aldini 2");
});
