import { printable } from "../model/printable.ts";

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Any text, fit for an element or a quoted attribute. What has no shape of its own on a screen is shown as an escape. */
export function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => entities[character] ?? "");
}

/** A name, which a narrow column may break between its parts. */
export function nameHtml(name: string): string {
  return escapeHtml(name).replaceAll("/", "/<wbr>");
}
