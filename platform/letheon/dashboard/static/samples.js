// Generations: a question, each model's answer side by side, and the true answer.

import { el } from "./dom.js";
import { words } from "./format.js";

const keyOf = (one) => `${one.set} ${one.prompt}`;

// `questions`: [{set, prompt, answer}]; `columns`: [{name: [text or element, …], texts, after, tone}], one per model.
// `after`: true for the unlearned models.
export function answers(questions, columns) {
  const known = columns.map((column) => ({ ...column, texts: new Map(column.texts.map((one) => [keyOf(one), one.generated])) }));
  return questions.map((one) => el("li", { style: { "--models": columns.length } },
    el("div", { class: "ask" }, one.set && [el("span", { class: `pill ${one.set === "forget" ? "failed" : "finished"}` }, one.set === "forget" ? "must be forgotten" : words(one.set)), " "], one.prompt),
    known.map((column) => el("blockquote", { class: column.after ? "after" : null, style: column.tone ? { borderLeftColor: column.tone } : null }, el("small", {}, column.name.map((part) => part?.cloneNode?.(true) ?? part)), answer(column.texts.get(keyOf(one))))),
    el("div", { class: "true" }, `true answer: ${one.answer}`)));
}

function answer(text) {
  return text === undefined ? "–" : text || "(nothing)";
}

// The columns of the target and retain models, shared by all trials of a fraction.
export function references(trial) {
  const retain = trial.retain_samples;
  return [{ name: ["target model"], texts: trial.samples["0"] ?? [] }, ...(retain.length ? [{ name: ["retain model"], texts: retain }] : [])];
}

// The epochs with generations, and the one to show first: the best, else the last on the front, else the last.
export function sampledEpochs(trial, best) {
  const epochs = Object.keys(trial.samples).map(Number).filter((epoch) => epoch > 0).sort((a, b) => a - b);
  return { epochs, first: epochs.includes(best) ? best : trial.on_front.filter((epoch) => epochs.includes(epoch)).at(-1) ?? epochs.at(-1) };
}
