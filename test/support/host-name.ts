import { type HostName, isHostName } from "../../src/model/host-name.ts";

export function hostName(text: string): HostName {
  if (!isHostName(text)) throw new Error(`not a host name: ${JSON.stringify(text)}`);
  return text;
}
