/** The register of cameras: fields of view on the map, and the panel that answers a citizen who asks about a camera. */
import { entities, REGISTER_OF_CAMERAS } from "./api";
import { byId, h, icon } from "./dom";
import { formatCount, formatDay } from "./format";
import { fieldsOfView, textOf, type Fields } from "./fields-of-view";
import { language, t } from "./i18n";
import { instant, state, subscribe, update } from "./state";
import type { Entity } from "./types";

const CAMERAS_MAX = 2_000;

const dayOf = (text: string): string => formatDay(Date.parse(`${text}T12:00:00Z`));

let request = new AbortController();

/** Keeps the switch and the map in step with the register at the state's instant. */
export function followCameras(show: (fields: Fields) => void): () => Promise<void> {
  const box = byId("cameras");
  let fields: Fields = { type: "FeatureCollection", features: [] };
  const empty: Fields = { type: "FeatureCollection", features: [] };
  const draw = (): void => show(state().cameras ? fields : empty);
  const input = h("input", { type: "checkbox", id: "show-cameras", onchange: (event) => update({ cameras: (event.target as HTMLInputElement).checked }) });
  const count = h("span", { class: "product-count" });
  const list = h("ul");
  box.replaceChildren(h("div", { class: "product-row" }, input, h("label", { for: "show-cameras" }, h("span", { class: "product-name" }, t("cameras"))), h("span", { class: "product-more" }, h("span", { class: "swatch swatch-camera", "aria-hidden": "true" }), count)), h("details", {}, h("summary", {}, t("cameras-list")), list));
  const load = async (): Promise<void> => {
    request.abort();
    request = new AbortController();
    const { signal } = request;
    try {
      const page = await entities(REGISTER_OF_CAMERAS, null, instant(), CAMERAS_MAX, signal);
      fields = fieldsOfView(page.features);
    } catch {
      // Without the right to see the register, or without one, there is no layer.
      if (signal.aborted) return;
      fields = empty;
    }
    box.hidden = fields.features.length === 0;
    input.checked = state().cameras;
    list.replaceChildren(...fields.features.map(({ properties: { id, name } }) => h("li", {}, h("button", { type: "button", onclick: () => update({ entity: id }) }, name))));
    count.textContent = t("cameras-count", { n: formatCount(fields.features.length) });
    draw();
  };
  subscribe((_, changed) => {
    if (changed.has("asOf") || changed.has("knownAsOn")) void load();
    else if (changed.has("cameras")) draw();
    input.checked = state().cameras;
  });
  return load;
}

/** Why the camera is there, in the words of its register entry. */
export function cameraBody(found: Entity): HTMLElement[] {
  const values = Object.fromEntries(found.attributes.map((a) => [a.name, a.value]));
  const text = (name: string): string => textOf(values[name]);
  const days = typeof values["retention_days"] === "number" ? values["retention_days"] : null;
  const purpose = text(`purpose_${language}`) || text("purpose_it");
  const fact = (key: Parameters<typeof t>[0], value: string, wide = true): HTMLElement | string => (value === "" ? "" : h("div", { class: wide ? "fact-wide" : null }, h("dt", {}, t(key)), h("dd", {}, value)));
  const list = (name: string): string => text(name).split("; ").filter((part) => part !== "").join(", ");
  const until = text("valid_to");
  return [
    ...(text("state") === "registered" ? [] : [h("p", { class: "register-personal is-personal" }, t(text("state") === "closed" ? "camera-closed" : "camera-ended"))]),
    h("section", { class: "block camera" }, h("h3", {}, t("camera-why")), h("p", { class: "register-purpose" }, purpose)),
    h("p", { class: "camera-promise" }, icon("shield"), h("span", {}, t("camera-promise"))),
    h("section", { class: "block" }, h("h3", {}, t("camera-answers")), h("dl", { class: "facts" },
      fact("camera-owner", text("owner")),
      fact("camera-contact", text("contact")),
      fact("camera-legal", text("legal_basis")),
      fact("camera-dpia", text("dpia")),
      fact("camera-recipients", list("recipients")),
      days === null ? "" : fact("camera-retention", t("camera-days", { n: formatCount(days) }), false),
      fact("camera-valid", until === "" ? t("camera-from", { from: dayOf(text("valid_from")) }) : t("camera-from-to", { from: dayOf(text("valid_from")), to: dayOf(until) }), false),
      fact("camera-zones", list("zones")))),
    h("section", { class: "block" }, h("h3", {}, t("camera-rights")), h("p", { class: "help" }, t("camera-rights-text", { contact: text("contact") }))),
  ];
}
