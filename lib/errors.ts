// Errors for people: what was called, which argument, what came, what would do.

/** A failure with a stable `code`: TG_DISPOSED, TG_GRAPH, TG_MODIFIED, TG_OUT_OF_MEMORY, TG_FILE, … */
export class TapegradError extends Error {
  override readonly name = 'TapegradError';
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A short description of any value, safe for hostile objects: nothing of theirs is called. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'undefined':
      return 'undefined';
    case 'string':
      return `the string ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
    case 'number':
      return `the number ${value}`;
    case 'boolean':
      return `${value}`;
    case 'bigint':
      return 'a bigint';
    case 'symbol':
      return 'a symbol';
    case 'function':
      return 'a function';
    default:
      try {
        return Array.isArray(value)
          ? 'an array'
          : ArrayBuffer.isView(value)
            ? 'a typed array'
            : 'an object';
      } catch {
        return 'a revoked Proxy';
      }
  }
}

/** A TypeError "op: argument must be expected, got …". */
export function wrongType(op: string, argument: string, expected: string, got: unknown): TypeError {
  return new TypeError(`${op}: ${argument} must be ${expected}, got ${describe(got)}`);
}

/** A RangeError "op: argument must be expected, got …". */
export function wrongValue(
  op: string,
  argument: string,
  expected: string,
  got: unknown,
): RangeError {
  return new RangeError(`${op}: ${argument} must be ${expected}, got ${describe(got)}`);
}

/** Checks an options object that knows these names, and returns it; undefined stands for {}. */
export function checkKeys(
  op: string,
  options: unknown,
  known: readonly string[],
): Record<string, unknown> {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrongType(op, 'options', 'an object', options);
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw new TypeError(
        `${op}: unknown option ${JSON.stringify(name)}; known: ${known.join(', ')}`,
      );
  return options as Record<string, unknown>;
}

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
  readonly below?: number;
  readonly integer?: boolean;
}

/** Checks a finite number in a range and returns it. */
export function checkNumber(
  op: string,
  argument: string,
  value: unknown,
  range: NumberRange = {},
): number {
  const { min, max, above, below, integer } = range;
  const parts: string[] = [];
  if (min !== undefined) parts.push(`≥ ${min}`);
  if (above !== undefined) parts.push(`> ${above}`);
  if (max !== undefined) parts.push(`≤ ${max}`);
  if (below !== undefined) parts.push(`< ${below}`);
  const expected = [integer ? 'an integer' : 'a finite number', parts.join(' and ')]
    .join(' ')
    .trimEnd();
  if (typeof value !== 'number') throw wrongType(op, argument, expected, value);
  if (
    !Number.isFinite(value) ||
    (integer && !Number.isSafeInteger(value)) ||
    (min !== undefined && value < min) ||
    (above !== undefined && value <= above) ||
    (max !== undefined && value > max) ||
    (below !== undefined && value >= below)
  )
    throw wrongValue(op, argument, expected, value);
  return value;
}

/** Options that are numbers, by name, with what stands for one that is not given. */
export type NumberRanges = Readonly<Record<string, NumberRange & { readonly fallback?: number }>>;

/** Checks numeric options and returns them by name; one without a fallback is required. `more`: others known. */
export function checkNumbers<T extends NumberRanges>(
  op: string,
  options: unknown,
  ranges: T,
  more: readonly string[] = [],
): { [K in keyof T]: number } {
  if (options === undefined) throw wrongType(op, 'options', 'an object', options);
  const given = checkKeys(op, options, [...Object.keys(ranges), ...more]);
  const result: Record<string, number> = {};
  for (const [name, { fallback, ...range }] of Object.entries(ranges)) {
    const value = given[name] === undefined ? fallback : given[name];
    result[name] = checkNumber(op, name, value, range);
  }
  return result as { [K in keyof T]: number };
}
