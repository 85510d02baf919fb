// How cases end in the explorer: "result", "refusal", or what was found. It reads one JSON object with
// the script, its presets, the longest sentence, and cases as [door, text].
"use strict";
const told = JSON.parse(require("fs").readFileSync(0, "utf8"));
const t = require(told.script), presets = told.presets;
Object.keys(presets).forEach((name) => { presets[name] = t.parseToml(presets[name]); });
const opening = { preset: "qwen3-8b", workload: presets["qwen3-8b"], mode: "best" };
function sound(thing) {
  if (typeof thing === "number") return Number.isFinite(thing);
  if (typeof thing !== "object" || thing === null || ArrayBuffer.isView(thing)) return true;
  return Object.values(thing).every(sound);
}
function ended(door, text) {
  try {
    const read = door === "paste" ? t.parseToml(text) : t.fromFragment(text, opening, presets, 0.005);
    if (read === null) return "refusal";
    const w = door === "paste" ? read : read.workload;
    if (!sound(w) || !sound(read.tokens)) return "not finite: " + JSON.stringify(read).slice(0, 200);
    t.check(w);
    const again = t.parseToml(t.toToml(w));
    if (t.toToml(again) !== t.toToml(w)) return "not what was written";
    if (w.tasks.length < 12) {
      try {
        const best = t.solve(w);
        if (!sound(Array.from(best.tokens)) || !(best.gap >= 0)) return "no sound optimum";
      } catch (error) { if (!(error instanceof t.UnstableError)) throw error; }
    }
    return "result";
  } catch (error) {
    const ours = error instanceof t.WorkloadError || (door === "fragment" && error instanceof URIError);
    if (!ours) return error.stack.slice(0, 400);
    if (!error.message || error.message.length > told.longest) return "a sentence of " + error.message.length;
    if (/[\p{Cc}\u2028\u2029]/u.test(error.message)) return "control characters: " + error.message.slice(0, 200);
    return "refusal";
  }
}
process.stdout.write(JSON.stringify(told.cases.map(([door, text]) => ended(door, text))));
