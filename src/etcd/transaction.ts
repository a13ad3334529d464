import * as v from "valibot";
import { entryFrom, transactionAnswer } from "./answers.ts";
import { base64 } from "./bytes.ts";
import type { Change, Compare, Transaction, TransactionResult } from "./client.ts";

export function transactionBody({ if: requirements, then, elseGet }: Transaction): unknown {
  return {
    compare: requirements.map(compareBody),
    success: then.map(changeBody),
    failure: elseGet.map((key) => ({ request_range: { key: base64(key) } })),
  };
}

function compareBody(compare: Compare): unknown {
  const key = base64(compare.key);
  if ("lease" in compare) return { key, target: "LEASE", result: "EQUAL", lease: compare.lease };
  if ("value" in compare) return { key, target: "VALUE", result: "EQUAL", value: base64(compare.value) };
  return "createRevision" in compare
    ? { key, target: "CREATE", result: "EQUAL", create_revision: String(compare.createRevision) }
    : { key, target: "MOD", result: "EQUAL", mod_revision: String(compare.modRevision) };
}

function changeBody(change: Change): unknown {
  if ("delete" in change) return { request_delete_range: { key: base64(change.delete) } };
  const { put, value, lease } = change;
  return { request_put: { key: base64(put), value: base64(value), ...(lease === null ? {} : { lease }) } };
}

/** The answer to this transaction: its reads in their order. */
export function transactionResult({ elseGet }: Transaction) {
  return v.pipe(
    transactionAnswer,
    v.check(
      ({ succeeded, responses }) =>
        succeeded ||
        (responses.length === elseGet.length &&
          elseGet.every((key, nth) => (responses[nth]?.response_range?.kvs[0]?.key ?? key).toString() === key)),
    ),
    v.transform(({ header: { revision }, succeeded, responses }): TransactionResult => {
      if (succeeded) return { done: true, revision };
      const found = responses.map(({ response_range }) => {
        const [first] = response_range?.kvs ?? [];
        return first === undefined ? null : entryFrom(first);
      });
      return { done: false, revision, found };
    }),
  );
}
