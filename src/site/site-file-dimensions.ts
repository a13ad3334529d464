import type { Dimension, DimensionValue } from "../model/dimensions.ts";
import { nameProblem } from "../model/names.ts";
import { fixedFields } from "./template.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** The dimensions of a site, in the order in which they become part of names. */
export function readDimensions(value: YamlValue): readonly Dimension[] {
  const dimensions = value.mapping();
  const read = [...dimensions].map(([name, own]) => readDimension(name, own));
  const prefixes = read.map(({ prefix }) => prefix);
  const repeated = read.find(({ prefix }, index) => prefixes.indexOf(prefix) !== index);
  return repeated === undefined
    ? read
    : value.fail(`different prefixes: ${JSON.stringify(repeated.prefix)} is there twice`);
}

function readDimension(name: string, value: YamlValue): Dimension {
  const taken: readonly string[] = [...fixedFields, "dimensions", "aux"];
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(name) || taken.includes(name))
    return value.fail("a dimension's name: small letters, digits and '_', none of the fixed fields");
  const own = value.mapping(["type", "optional", "prefix", "values"]);
  const type = own.get("type")?.oneOf(["integer", "number", "text"] as const) ?? value.fail("a `type`");
  const given = own.get("prefix");
  const prefix = given?.text("a text such as _seed") ?? `_${name}`;
  if (given !== undefined && (nameProblem(prefix) !== null || !/\p{L}/u.test(prefix)))
    given.fail("a text with a letter in it, such as _seed");
  const values =
    own
      .get("values")
      ?.list()
      .map((item) => readValue(item, type)) ?? null;
  if (values !== null && (values.length === 0 || new Set(values).size < values.length))
    own.get("values")?.fail("different values");
  return { name, type, optional: own.get("optional")?.flag() ?? false, prefix, values };
}

function readValue(value: YamlValue, type: Dimension["type"]): DimensionValue {
  if (type === "integer") return value.integer("an integer of 0 or more", 0, Number.MAX_SAFE_INTEGER);
  const scalar = value.scalar(type === "number" ? "a number of 0 or more" : "a text");
  if (type === "number")
    return typeof scalar === "number" && scalar >= 0 ? scalar : value.fail("a number of 0 or more");
  return nameProblem(String(scalar)) === null ? String(scalar) : value.fail("a text that can be part of a name");
}
