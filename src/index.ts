export { configurationOf } from "./model/owner-record.ts";
