/** "What is this sensor?": the register's entry in the panel of a sensor, and its form for operators. */
import { ApiError, isOperator, registerEntry, registerFields, saveRegisterEntry } from "./api";
import { h } from "./dom";
import { formatInstant } from "./format";
import { label, language, t } from "./i18n";
import type { Entity, Field, Value } from "./types";

type Entry = Record<string, Value>;

/** Fields that stand apart: purpose first, personal data as a sentence, the other language's purpose not at all. */
const APART = ["purpose_it", "purpose_en", "personal_data"];
const REQUIRED = ["class", "owner", "purpose_it"];
const LONG = ["purpose_it", "purpose_en", "notes", "legal_basis", "consent"];
const DAYS = ["installed_on", "calibrated_on", "calibration_due"];

/** An empty block at once, filled when the register answers. */
export function registerBlock(found: Entity, signal: AbortSignal): HTMLElement {
  const block = h("section", { class: "block register", "aria-labelledby": "register-title", tabindex: -1 }, h("h3", { id: "register-title" }, t("register-title")), h("div", { class: "skeleton" }));
  void fill(block, found, signal);
  return block;
}

async function fill(block: HTMLElement, found: Entity, signal: AbortSignal, said?: string): Promise<void> {
  try {
    const [entry, operator] = await Promise.all([registerEntry(found.id, signal), isOperator().catch(() => false)]);
    if (signal.aborted) return;
    draw(block, found, entry, operator, signal);
    if (said) {
      block.append(h("p", { class: "form-done", role: "status" }, said));
      block.focus({ preventScroll: true });
    }
  } catch {
    if (!signal.aborted) block.remove();
  }
}

const valuesOf = (entry: Entity | null): Entry => Object.fromEntries((entry?.attributes ?? []).map((a) => [a.name, a.value]));
const textOf = (value: Value | undefined): string => (typeof value === "string" ? value : "");

function draw(block: HTMLElement, found: Entity, entry: Entity | null, operator: boolean, signal: AbortSignal): void {
  const values = valuesOf(entry);
  const title = h("h3", { id: "register-title" }, t("register-title"));
  const edit = operator && h("button", { type: "button", class: "text-button", onclick: () => void openForm(block, found, entry, signal) }, t(entry ? "register-edit" : "register-add"));
  if (!entry) return block.replaceChildren(title, h("p", { class: "help" }, t("register-none")), ...(edit ? [edit] : []));
  const purpose = textOf(values[`purpose_${language}`]) || textOf(values["purpose_it"]) || textOf(values["purpose_en"]);
  const personal = values["personal_data"] === true;
  const list = h("dl", { class: "facts" });
  block.replaceChildren(title, h("p", { class: "register-purpose" }, purpose),
    h("p", { class: personal ? "register-personal is-personal" : "register-personal" }, t(personal ? "register-personal-yes" : "register-personal-no")), list,
    ...(edit ? [edit] : []));
  void facts(list, values, signal);
}

/** The labels come with the contract, in the page's language. */
async function facts(list: HTMLElement, values: Entry, signal: AbortSignal): Promise<void> {
  const fields = await registerFields().catch(() => []);
  if (signal.aborted) return;
  const today = new Date().toISOString().slice(0, 10);
  for (const field of fields.filter((f) => !APART.includes(f.name))) {
    const text = textOf(values[field.name]);
    if (text === "") continue;
    const overdue = field.name === "calibration_due" && text < today;
    list.append(h("div", { class: LONG.includes(field.name) ? "fact-wide" : null }, h("dt", {}, label(field)), h("dd", {}, DAYS.includes(field.name) ? formatDayText(text) : text, overdue && h("strong", { class: "register-overdue" }, ` · ${t("register-overdue")}`))));
  }
}

const formatDayText = (day: string): string => (Number.isNaN(Date.parse(day)) ? day : formatInstant(Date.parse(`${day}T12:00:00Z`)).replace(/,?\s*\d{1,2}[:.]\d{2}$/, ""));

async function openForm(block: HTMLElement, found: Entity, entry: Entity | null, signal: AbortSignal): Promise<void> {
  const fields = await registerFields().catch((): Field[] => []);
  if (signal.aborted || fields.length === 0) return;
  const values = valuesOf(entry);
  const error = h("div", { class: "form-error", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "btn btn-primary btn-sm" }, t("register-save"));
  const cancel = h("button", { type: "button", class: "btn btn-outline-primary btn-sm", onclick: () => {
    draw(block, found, entry, true, signal);
    block.focus({ preventScroll: true });
  } }, t("register-cancel"));
  const form = h("form", { class: "register-form", novalidate: true }, error, ...fields.map((field) => input(field, values[field.name])), h("p", { class: "help" }, t("register-history")), h("div", { class: "form-buttons" }, save, cancel));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit(form, fields, error, save, block, found, signal);
  });
  block.replaceChildren(h("h3", { id: "register-title" }, t("register-title")), form);
  form.querySelector<HTMLElement>("input, textarea, select")?.focus();
}

function input(field: Field, value: Value | undefined): HTMLElement {
  const id = `register-${field.name}`;
  const required = REQUIRED.includes(field.name) || field.name === "personal_data";
  const name = required ? `${label(field)} (${t("register-required")})` : DAYS.includes(field.name) ? `${label(field)} (${t("register-day")})` : label(field);
  const common = { id, name: field.name, "aria-required": String(required) };
  let control: HTMLElement;
  if (field.name === "personal_data") {
    const option = (v: string, text: string): HTMLElement => h("option", { value: v, selected: v === String(value ?? "") }, text);
    control = h("select", common, option("", t("register-choose")), option("false", t("no")), option("true", t("yes")));
  } else if (LONG.includes(field.name)) {
    const area = h("textarea", { ...common, rows: 3 });
    area.value = textOf(value);
    control = area;
  } else {
    const line = h("input", { ...common, type: "text", inputmode: DAYS.includes(field.name) ? "numeric" : null, autocomplete: "off" });
    line.value = textOf(value);
    control = line;
  }
  return h("div", { class: "field" }, h("label", { for: id }, name), control);
}

/** Names of fields that are empty and must not be, or days that are none. */
export function wrongFields(entry: Record<string, string>): string[] {
  const empty = [...REQUIRED, "personal_data"].filter((name) => !entry[name]?.trim());
  const isDay = (text: string): boolean => {
    const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
    return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text);
  };
  const days = DAYS.filter((name) => entry[name] && !isDay(entry[name]));
  return [...empty, ...days];
}

async function submit(form: HTMLFormElement, fields: Field[], error: HTMLElement, save: HTMLButtonElement, block: HTMLElement, found: Entity, signal: AbortSignal): Promise<void> {
  const texts = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]));
  const wrong = wrongFields(texts);
  for (const field of fields) {
    document.getElementById(`register-${field.name}`)?.setAttribute("aria-invalid", String(wrong.includes(field.name)));
  }
  const fail = (text: string, at?: string): void => {
    error.textContent = text;
    error.hidden = false;
    (document.getElementById(`register-${at ?? ""}`) ?? save).focus();
  };
  if (wrong.length > 0) return fail(t("register-invalid"), wrong[0]);
  save.disabled = true;
  try {
    const entry = Object.fromEntries(Object.entries(texts).map(([name, value]) => [name, name === "personal_data" ? value === "true" : value]));
    await saveRegisterEntry(found.id, found.tenant, entry);
    await settled(found, texts, signal);
    await fill(block, found, signal, t("register-saved"));
  } catch (cause) {
    fail(cause instanceof ApiError && cause.status > 0 ? cause.message : t("devices-unreachable"));
  } finally {
    save.disabled = false;
  }
}

/** The row is durable before the twin shows it: looks again a few times. */
async function settled(found: Entity, texts: Record<string, string>, signal: AbortSignal): Promise<void> {
  for (let look = 0; look < 10 && !signal.aborted; look++) {
    const values = valuesOf(await registerEntry(found.id, signal));
    if (textOf(values["purpose_it"]) === texts["purpose_it"] && textOf(values["owner"]) === texts["owner"] && textOf(values["calibrated_on"]) === (texts["calibrated_on"] ?? "")) return;
    await new Promise((done) => setTimeout(done, 200));
  }
}
