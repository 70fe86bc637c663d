/** The page of new devices: what waits in quarantine, what would read it, and the operator's two decisions: accept and replay. */
import { accept, ApiError, replay, signOut, suggestions, whoami } from "./api";
import { byId, h, icon, type Child } from "./dom";
import { formatCount, formatInstant, formatNumber, formatUnit } from "./format";
import { hasMessage, t } from "./i18n";
import { addReplayed, conversion, previewFields, type Replayed, type Suggestion } from "./suggestion";
import type { Value } from "./types";

const groups = byId("groups");
const notice = byId("notice");
const hours = byId<HTMLSelectElement>("hours");
/** Messages of one step, so that the progress moves. */
const STEP = 500;
let request = new AbortController();
let mayAccept = false;

async function load(): Promise<void> {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  groups.setAttribute("aria-busy", "true");
  notice.hidden = true;
  try {
    const found = await suggestions(Number(hours.value), signal);
    mayAccept = found.may_accept;
    byId("count").textContent = t(found.truncated ? "devices-waiting-more" : "devices-waiting", { n: formatCount(found.waiting) });
    groups.replaceChildren(...(found.suggestions.length > 0 ? found.suggestions.map(card) : [empty()]));
  } catch (cause) {
    if (signal.aborted) return;
    fail(cause instanceof ApiError ? cause : new ApiError(0, String(cause)));
  } finally {
    if (!signal.aborted) groups.setAttribute("aria-busy", "false");
  }
}

function fail(error: ApiError): void {
  groups.replaceChildren();
  byId("count").textContent = "";
  const needsRight = error.status === 401 || error.status === 403;
  byId("notice-title").textContent = t(error.status === 401 ? "devices-sign-in" : error.status === 403 ? "devices-forbidden" : "error-title");
  byId("notice-detail").textContent = needsRight ? t("devices-roles") : error.status >= 400 && error.status < 500 ? t("error-limited", { detail: error.message }) : t("devices-unreachable");
  notice.hidden = false;
}

const empty = (): HTMLElement => h("div", { class: "work-empty" }, h("h2", {}, t("devices-empty")), h("p", {}, t("devices-empty-more")));

const word = (key: string, otherwise: string): string => (hasMessage(key) ? t(key) : otherwise);
const show = (value: Value | undefined): string => (value === null || value === undefined ? "" : typeof value === "number" ? formatNumber(value) : String(value));

function card(s: Suggestion): HTMLElement {
  const title = `group-${s.id}`;
  const result = h("div", { class: "work-result", role: "status", tabindex: -1 });
  const texts = s.mapping === null ? null : editors(s);
  const head = h("div", { class: "group-head" },
    h("div", {}, h("p", { class: "eyebrow" }, `${s.tenant} · ${t("devices-counts", { messages: formatCount(s.messages), devices: formatCount(s.devices) })} · ${formatInstant(Date.parse(s.last_at))}`),
      h("h2", { id: title }, h("code", {}, s.topic))),
    h("p", { class: `group-state is-${s.state}` }, t(`devices-state-${s.state}`)));
  return h("article", { class: "group", "aria-labelledby": title, "data-id": s.id },
    head,
    verdict(s),
    s.missing.length > 0 && h("div", { class: "group-missing" }, h("h3", {}, t("devices-missing")), list(s.missing)),
    s.in_force !== null && h("p", { class: "help" }, t("devices-in-force", { name: s.in_force })),
    s.fields.length > 0 && fieldTable(s),
    s.preview.length > 0 && preview(s),
    more(s, texts),
    mayAccept && (texts !== null || s.state === "ready") && actions(s, texts, result),
    result);
}

function verdict(s: Suggestion): HTMLElement {
  const reasons = Object.entries(s.reasons).map(([reason, n]) => `${word(`reason-${reason}`, reason)} (${formatCount(n)})`).join(", ");
  const fits: Child[] = s.product === null ? [] : [
    h("p", { class: "group-fit" }, t(s.state === "contract" ? "devices-new-product" : "devices-fits", { product: s.product }),
      s.score > 0 && h("span", { class: "score" }, t("devices-score", { n: Math.round(s.score * 100) }))),
    s.why.length > 0 && list(s.why),
  ];
  return h("div", { class: "group-verdict" }, h("p", {}, t("devices-because", { reasons })), ...fits,
    s.checked > 0 && h("p", {}, t("devices-decoded", { n: s.decoded, of: s.checked })));
}

const list = (lines: readonly string[]): HTMLElement => h("ul", { class: "plain-list" }, ...lines.map((line) => h("li", {}, line)));

function table(caption: string, heads: readonly string[], rows: readonly (readonly Child[])[], reasons = false): HTMLElement {
  return h("div", { class: "scroll-box", tabindex: 0, role: "group", "aria-label": caption }, h("table", { class: reasons ? "data work-table is-reasoned" : "data work-table" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell)))))));
}

function fieldTable(s: Suggestion): HTMLElement {
  const code = (text: string): HTMLElement => h("code", {}, text);
  const rows: Child[][] = s.fields.filter((f) => f.example !== null).map((f) => [
    f.field, code(f.pointer), show(f.example), [conversion(f), formatUnit(f.unit)].filter(Boolean).join(" "), `${Math.round(f.confidence * 100)} %`, f.why,
  ]);
  if (s.time) rows.unshift([t("time"), s.time.pointer === null ? t("devices-receipt") : code(s.time.pointer), "", [s.time.format, s.time.zone].filter(Boolean).join(" "), "", ""]);
  if (s.place) rows.push([t("devices-place"), code(s.place.join(" ")), "", "", "", ""]);
  return table(t("devices-fields"), [t("devices-field"), t("devices-pointer"), t("devices-example"), t("devices-becomes"), t("devices-confidence"), t("devices-why")], rows, true);
}

function preview(s: Suggestion): HTMLElement {
  const names = previewFields(s);
  const rows = s.preview.map((row) => [row.entity.split(":").at(-1) ?? row.entity, formatInstant(Date.parse(row.observed_at)), ...names.map((name) => show(row.values[name]))]);
  return table(t("devices-preview"), [t("name"), t("observed"), ...names], rows);
}

interface Texts { mapping: HTMLTextAreaElement; contract: HTMLTextAreaElement | null; box: HTMLElement }

/** The texts that are accepted, as they stand: an operator may correct them first. */
function editors(s: Suggestion): Texts {
  const area = (id: string, text: string): HTMLTextAreaElement => {
    const made = h("textarea", { id, class: "code-area", rows: Math.min(24, text.split("\n").length + 1), spellcheck: "false", autocapitalize: "none", readonly: !mayAccept });
    made.value = text;
    return made;
  };
  const mapping = area(`mapping-${s.id}`, s.mapping ?? "");
  const contract = s.contract ? area(`contract-${s.id}`, s.contract.text) : null;
  const box = h("div", {},
    h("div", { class: "field" }, h("label", { for: mapping.id }, t("devices-mapping-text")), mapping),
    contract && h("div", { class: "field" }, h("label", { for: contract.id }, t("devices-contract-text")), contract));
  return { mapping, contract, box };
}

function more(s: Suggestion, texts: Texts | null): HTMLElement {
  return h("div", { class: "group-more" },
    texts && h("details", {}, h("summary", {}, t("devices-texts")), texts.box),
    s.left_over.length > 0 && h("details", {}, h("summary", {}, t("devices-left", { n: s.left_over.length })),
      table(t("devices-left-caption"), [t("devices-pointer"), t("devices-example"), t("devices-why")], s.left_over.map((l) => [h("code", {}, l.pointer), show(l.example), l.why ?? ""]), true)),
    h("details", {}, h("summary", {}, t("devices-examples")),
      ...s.examples.map((e) => h("figure", { class: "example" }, h("figcaption", {}, h("code", {}, e.topic), ` · ${word(`reason-${e.reason}`, e.reason)}: ${e.message}`), h("pre", { tabindex: 0 }, e.payload)))));
}

function actions(s: Suggestion, texts: Texts | null, result: HTMLElement): HTMLElement {
  const acceptButton = h("button", { type: "button", class: "btn btn-primary" }, t(s.contract ? "devices-accept-contract" : "devices-accept"));
  const replayButton = h("button", { type: "button", class: "btn btn-outline-primary" }, icon("forward"), t("devices-replay", { n: formatCount(s.messages) }));
  const busy = (on: boolean): void => [acceptButton, replayButton].forEach((button) => button.toggleAttribute("disabled", on));
  replayButton.hidden = s.state !== "ready";
  const attempt = (work: () => Promise<void>) => async (): Promise<void> => {
    busy(true);
    try {
      await work();
    } catch (cause) {
      const error = cause instanceof ApiError ? cause : new ApiError(0, String(cause));
      result.replaceChildren(h("p", { class: "form-error" }, error.status === 0 ? t("devices-unreachable") : error.message));
    } finally {
      busy(false);
      result.focus({ preventScroll: false });
    }
  };
  acceptButton.addEventListener("click", attempt(async () => {
    if (!texts) return;
    const contract = s.contract && texts.contract ? { product: s.contract.product, text: texts.contract.value } : undefined;
    const done = await accept({ tenant: s.tenant, id: s.id, mapping: texts.mapping.value, ...(contract ? { contract } : {}) });
    result.replaceChildren(h("p", { class: "form-done" }, t(done.in_force ? "devices-accepted" : "devices-accepted-later", { file: done.files.join(", ") })));
    acceptButton.hidden = true;
    replayButton.hidden = !done.in_force;
  }));
  replayButton.addEventListener("click", attempt(async () => {
    const done = await replayAll(s, result);
    result.replaceChildren(...report(done));
    replayButton.hidden = true;
  }));
  return h("div", { class: "group-actions" }, texts && s.state !== "ready" && acceptButton, replayButton);
}

/** Step by step until nothing is left, with a bar that says how far it is. */
async function replayAll(s: Suggestion, result: HTMLElement): Promise<Replayed> {
  const label = h("p", {}, t("devices-replaying"));
  const bar = h("progress", { "aria-label": t("devices-replaying"), max: Math.max(1, s.messages), value: 0 });
  result.replaceChildren(label, bar);
  let sum: Replayed | null = null;
  for (;;) {
    const step = await replay({ tenant: s.tenant, topic: s.topic, messages_max: STEP, hours: Number(hours.value) });
    sum = addReplayed(sum, step);
    bar.max = Math.max(1, sum.replayed + step.left);
    bar.value = sum.replayed;
    label.textContent = t("devices-progress", { n: formatCount(sum.replayed), left: formatCount(step.left) });
    if (step.left === 0 || step.replayed === 0) return sum;
  }
}

function report(done: Replayed): HTMLElement[] {
  const n = (value: number): string => formatCount(value);
  const lines = Object.entries(done.skipped).map(([why, count]) => `${word(`skip-${why}`, why)}: ${n(count)}`);
  return [
    h("p", { class: "form-done" }, t("devices-replayed", { replayed: n(done.replayed), stored: n(done.stored + done.late), duplicate: n(done.duplicate), refused: n(done.quarantined) })),
    ...(lines.length > 0 ? [list(lines)] : []),
    ...(done.rejects.length > 0 ? [list(done.rejects.map((r) => `${word(`reason-${r.reason}`, r.reason)}: ${r.message}`))] : []),
  ];
}

async function showUser(): Promise<void> {
  const user = await whoami().catch(() => null);
  byId("sign-in").hidden = user !== null;
  byId("sign-out").hidden = user === null;
}

byId("sign-out").addEventListener("click", async () => {
  await signOut().catch(() => undefined);
  location.reload();
});
byId("tools").addEventListener("submit", (event) => {
  event.preventDefault();
  void load();
});
hours.addEventListener("change", () => void load());
byId("retry").addEventListener("click", () => void load());
void showUser();
void load();

