/** The sign-in form: posts JSON, shows errors in the page, then goes to the map. */
import { ApiError, signIn } from "./api";
import { byId } from "./dom";
import { language, t, type MessageKey } from "./i18n";

const form = byId<HTMLFormElement>("login-form");
const user = byId<HTMLInputElement>("user");
const password = byId<HTMLInputElement>("password");
const submit = byId<HTMLButtonElement>("login-submit");
const error = byId("login-error");
const submitText = submit.textContent;

function fail(key: MessageKey, field?: HTMLInputElement): void {
  error.textContent = t(key);
  error.hidden = false;
  for (const input of [user, password]) input.toggleAttribute("aria-invalid", input === field);
  (field ?? user).focus();
}

function reason(cause: unknown): MessageKey {
  const status = cause instanceof ApiError ? cause.status : 0;
  if (status === 401 || status === 403) return "login-wrong";
  return status === 429 ? "login-many" : "login-unreachable";
}

// The server leads back here with this after a sign-in by plain form that failed.
if (new URLSearchParams(location.search).has("failed")) fail("login-wrong", password);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  error.hidden = true;
  const name = user.value.trim();
  if (name === "" || password.value === "") return fail("login-missing", name === "" ? user : password);
  submit.disabled = true;
  submit.textContent = t("login-busy");
  try {
    await signIn(name, password.value);
    location.assign(language === "en" ? "/en" : "/");
  } catch (cause) {
    fail(reason(cause), reason(cause) === "login-wrong" ? password : undefined);
  } finally {
    submit.disabled = false;
    submit.textContent = submitText;
  }
});
