/** The page's language and its texts. */
import { app as english } from "./messages/en.json";
import { app as italian } from "./messages/it.json";
import type { Language } from "./types";

export type MessageKey = keyof typeof italian;

export const language: Language = document.documentElement.lang === "en" ? "en" : "it";
export const locale = language === "en" ? "en-GB" : "it-IT";
const messages: Record<MessageKey, string> = language === "en" ? english : italian;

/** The text for `key`, with each `{name}` replaced. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  return messages[key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

export const hasMessage = (key: string): key is MessageKey => Object.hasOwn(messages, key);

/** The label of a product or field in the page's language. */
export const label = (of: { label: Record<Language, string> }): string => of.label[language];
