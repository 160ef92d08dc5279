// Small dense symmetric matrices in float64, factorised by ml-matrix. No tensors here.
import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** A symmetric matrix, row by row. */
export interface Symmetric {
  readonly n: number;
  readonly data: Float64Array;
}

/** The largest diagonal entry by magnitude: the scale against which a pivot counts as zero. */
export function scaleOf(a: Symmetric): number {
  let scale = 0;
  for (let i = 0; i < a.n; ++i) scale = Math.max(scale, Math.abs(a.data[i * a.n + i]!));
  return scale;
}

function matrixOf(a: Symmetric, shift: number): Matrix {
  const rows = Array.from({ length: a.n }, (_, i) => {
    const row = a.data.slice(i * a.n, (i + 1) * a.n);
    row[i]! += shift;
    return row;
  });
  return new Matrix(rows);
}

/**
 * Solves (A + shift · I) x = b by Cholesky's factorisation.
 * @param relativePivot - squared pivots up to this part of the largest diagonal entry count as zero
 * @returns null unless the matrix is positive definite
 */
export function solvePositive(
  a: Symmetric,
  b: Float64Array,
  shift: number,
  relativePivot: number,
): Float64Array | null {
  const factor = new CholeskyDecomposition(matrixOf(a, shift));
  if (!factor.isPositiveDefinite()) return null;
  const l = factor.lowerTriangularMatrix;
  const least = relativePivot * (scaleOf(a) + shift);
  for (let i = 0; i < a.n; ++i) if (!(l.get(i, i) ** 2 > least)) return null;
  return Float64Array.from(factor.solve(Matrix.columnVector(b)).to1DArray());
}

/** The eigenvalues in ascending order. Entries must be finite. */
export function eigenvaluesOf(a: Symmetric): number[] {
  if (a.n === 0) return [];
  const { realEigenvalues } = new EigenvalueDecomposition(matrixOf(a, 0), {
    assumeSymmetric: true,
  });
  return realEigenvalues.sort((x, y) => x - y);
}
