export const mayImport: Readonly<Record<string, readonly string[]>>;
export function foldersIn(path: string): string[];
export function importRules(src: string): object[];
export function isImportRule(override: object): boolean;
