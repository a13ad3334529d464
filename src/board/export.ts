import { createHash } from "node:crypto";
import { localDateTime } from "../system/clock/local-time.ts";
import script from "./browser/board.browser.js" with { type: "text" };
import style from "./browser/board.css" with { type: "text" };
import { pageHtml } from "./page.ts";
import { type Snapshot, withoutNames } from "./snapshot.ts";
import type { View } from "./view.ts";

export interface ExportSettings {
  readonly title: string;
  /** Users, hosts and paths are left out unless this is true. */
  readonly withNames: boolean;
  readonly root: string;
  readonly view: View;
  /** How often whoever calls makes a new one, milliseconds: the page calls itself old after twice that. */
  readonly intervalMs: number;
}

/** One file that needs nothing else: style and script are in it, and its policy allows these two alone. */
export function exportHtml(snapshot: Snapshot, { title, withNames, root, view, intervalMs }: ExportSettings): string {
  const policy =
    `default-src 'none'; style-src '${hashOf(style)}'; script-src '${hashOf(script)}'; img-src data:; ` +
    "form-action 'none'; base-uri 'none'";
  const until = localDateTime(snapshot.atMs + 2 * intervalMs);
  return pageHtml(withNames ? snapshot : withoutNames(snapshot), view, {
    title,
    place: withNames ? root : "",
    standard: view,
    head: `<meta http-equiv="Content-Security-Policy" content="${policy}"><meta name=referrer content=no-referrer><style>${style}</style>`,
    foot: `<script type=module>${script}</script>`,
    data: { mode: "export", interval: Math.round(intervalMs / 1000) },
    validity: `a copy; old after ${until}`,
    canChoose: false,
  });
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
