// Arithmetic on points and directions, which minimisers keep as plain float64 vectors. No tensors here.

export type Vector = Float64Array<ArrayBuffer>;

export function dot(x: Vector, y: Vector): number {
  let s = 0;
  for (let i = 0; i < x.length; ++i) s += x[i]! * y[i]!;
  return s;
}

/** Euclidean length, without overflow of the squares. */
export function norm(x: Vector): number {
  let largest = 0;
  for (const v of x) {
    if (Number.isNaN(v)) return NaN;
    largest = Math.max(largest, Math.abs(v));
  }
  if (largest === 0 || largest === Infinity) return largest;
  let s = 0;
  for (const v of x) s += (v / largest) ** 2;
  return largest * Math.sqrt(s);
}

/** x + a · d, a new vector. */
export function along(x: Vector, a: number, d: Vector): Vector {
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; ++i) y[i] = x[i]! + a * d[i]!;
  return y;
}

export const negated = (x: Vector): Vector => x.map((v) => -v);
export const same = (x: Vector, y: Vector): boolean => x.every((v, i) => v === y[i]);
