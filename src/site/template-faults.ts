import { excludeEachOther, pinned } from "./condition.ts";
import {
  affixes,
  closedTexts,
  optionalFields,
  type Part,
  type Segment,
  segmentPattern,
  type Template,
  type Vocabulary,
} from "./template.ts";

const neededFields = ["strategy", "dataset", "model", "ratio", "aux_loss"] as const;

/** Why folders of this template could not be led back to their configurations; null when they can. */
export function faultOf(template: Template, vocabulary: Vocabulary): string | null {
  const named = template.segments.flatMap((segment) =>
    segment.flatMap((part) => (part.kind === "field" ? part.field : [])),
  );
  const repeated = named.find((field, index) => named.indexOf(field) !== index);
  if (repeated !== undefined) return `names {${repeated}} twice`;
  for (const field of [...neededFields, ...vocabulary.dimensions.map(({ name }) => name)]) {
    if (named.includes(field) || pinned(template.conditions, field) !== undefined) continue;
    return `leaves out {${field}}: configurations that differ in it alone would share a folder (or give its one value under \`when\`)`;
  }
  for (const segment of template.segments) {
    const fault = segmentFault(segment, vocabulary) ?? lossFault(segment, vocabulary);
    if (fault !== null) return fault;
  }
  return null;
}

/** Filters that make two of the declared datasets, or of a dimension's values, one. */
function lossFault(segment: Segment, { dimensions, datasets }: Vocabulary): string | null {
  for (const part of segment) {
    if (part.kind === "literal") continue;
    const values = part.field === "dataset" ? datasets : dimensions.find(({ name }) => name === part.field)?.values;
    if (values && closedTexts(values, part.filters).length < values.length)
      return `its filters make two values of {${part.field}} the same name`;
  }
  return null;
}

/** What can stand in a name without end: any text, or any number. Closed sets and literals are neither. */
function openness(part: Part & { kind: "field" }, { dimensions, datasets }: Vocabulary): "text" | "number" | "closed" {
  const dimension = dimensions.find(({ name }) => name === part.field);
  if (part.field === "ratio") return "number";
  if (part.field === "dataset" && datasets !== null) return "closed";
  if (dimension === undefined) return "text";
  return dimension.values !== null ? "closed" : dimension.type === "text" ? "text" : "number";
}

/**
 * Two fields in one folder name need something between them that tells where the first ends: a word, or a character that
 * the first cannot contain.
 */
function segmentFault(segment: Segment, vocabulary: Vocabulary): string | null {
  let open: (Part & { kind: "field" }) | null = null;
  let between = "";
  let mayBeEmpty = true;
  for (const part of segment) {
    if (part.kind === "literal") {
      between += part.text;
      mayBeEmpty = false;
      continue;
    }
    const [before] = affixes(part, vocabulary.dimensions);
    if (open !== null && !separates(open, between + before, vocabulary)) {
      return `{${open.field}} and {${part.field}} run together: put a word between them, as in \`_fold{fold|bare}\``;
    }
    if (!isOptional(part, vocabulary)) mayBeEmpty = false;
    open = part;
    between = "";
  }
  return mayBeEmpty ? "has a folder without a name when the optional fields in it are not given" : null;
}

function separates(open: Part & { kind: "field" }, between: string, vocabulary: Vocabulary): boolean {
  if (/\p{L}{2}/u.test(between)) return true;
  if (openness(open, vocabulary) === "number") return /^[^0-9pe]/.test(between);
  const withoutHyphens = open.filters.some((name) => name === "no_hyphens" || name === "underscores");
  return withoutHyphens && between.includes("-");
}

function isOptional(part: Part & { kind: "field" }, { dimensions }: Vocabulary): boolean {
  if (optionalFields.includes(part.field)) return true;
  return dimensions.find(({ name }) => name === part.field)?.optional ?? false;
}

/** Why two templates cannot be told apart by the folders they lead to; null when they can. */
export function conflictOf(first: Template, second: Template, vocabulary: Vocabulary): string | null {
  const [short, long] = first.segments.length <= second.segments.length ? [first, second] : [second, first];
  for (const [index, segment] of short.segments.entries()) {
    if (!mayCoincide([segment, short], [long.segments[index] ?? [], long], vocabulary)) return null;
  }
  return short.segments.length === long.segments.length
    ? `\`${first.text}\` and \`${second.text}\` can lead to the same folder`
    : `folders of \`${long.text}\` can lie within those of \`${short.text}\`, among its checkpoints`;
}

type Placed = readonly [Segment, Template];

function mayCoincide([a, of]: Placed, [b, other]: Placed, vocabulary: Vocabulary): boolean {
  const [textsA, textsB] = [closedSegment(a, vocabulary), closedSegment(b, vocabulary)];
  if (textsA !== null) return textsA.some((text) => segmentPattern(b, vocabulary).test(text));
  if (textsB !== null) return textsB.some((text) => segmentPattern(a, vocabulary).test(text));
  if (tiedApart([a, of], [b, other])) return false;
  const [startA, endA] = literalEnds(a);
  const [startB, endB] = literalEnds(b);
  return (startA.startsWith(startB) || startB.startsWith(startA)) && (endA.endsWith(endB) || endB.endsWith(endA));
}

/** All names a segment can have, where these are few enough to be known. */
function closedSegment(segment: Segment, vocabulary: Vocabulary): string[] | null {
  let texts = [""];
  for (const part of segment) {
    if (part.kind === "literal") texts = texts.map((text) => text + part.text);
    else {
      if (openness(part, vocabulary) !== "closed") return null;
      const dimension = vocabulary.dimensions.find(({ name }) => name === part.field);
      const values = part.field === "dataset" ? (vocabulary.datasets ?? []) : (dimension?.values ?? []);
      const [before] = affixes(part, vocabulary.dimensions);
      const own = closedTexts(values, part.filters).map((text) => before + text);
      texts = texts.flatMap((text) => [...own, ...(dimension?.optional ? [""] : [])].map((value) => text + value));
    }
  }
  return texts;
}

/** The same single field on both sides, and conditions that no value of it satisfies both of. */
function tiedApart([a, of]: Placed, [b, other]: Placed): boolean {
  const [only, same] = [a[0], b[0]];
  if (a.length !== 1 || b.length !== 1 || only?.kind !== "field" || same?.kind !== "field") return false;
  if (only.field !== same.field || only.filters.length > 0 || same.filters.length > 0) return false;
  const conditionOf = (template: Template) => template.conditions.find(({ field }) => field === only.field)?.anyOf;
  const [one, two] = [conditionOf(of), conditionOf(other)];
  return one !== undefined && two !== undefined && excludeEachOther(one, two);
}

function literalEnds(segment: Segment): [string, string] {
  const [first, last] = [segment[0], segment.at(-1)];
  return [first?.kind === "literal" ? first.text : "", last?.kind === "literal" ? last.text : ""];
}
