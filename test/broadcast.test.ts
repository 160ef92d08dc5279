// Operands that repeat or have gaps give what copies of them in full would: long rows are read in place, numbers
// are spread once, the rest is gathered.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import type { Tensor } from 'tapegrad';

/** Names of operand pairs, each with what broadcasts to the same shape. */
const PAIRS: Record<string, () => [Tensor, Tensor]> = {
  'a row': () => [tg.randn([77, 1000]), tg.randn([1000])],
  'a row longer than a chunk': () => [tg.randn([30, 1501]), tg.randn([1501])],
  'a row too short to be read in place': () => [tg.randn([5000, 10]), tg.randn([10])],
  'a column': () => [tg.randn([300, 401]), tg.randn([300, 1])],
  'a column and a row': () => [tg.randn([257, 1]), tg.randn([1, 300])],
  'a number of no axes': () => [tg.randn([90_001]), tg.randn([])],
  'matrices in the middle': () => [tg.randn([3, 4, 70, 65]), tg.randn([4, 1, 65])],
  'part of each row': () => [
    tg.randn([90, 500]),
    tg.randn([90, 700]).slice({ axis: 1, start: 101, end: 601 }),
  ],
  'every other row': () => [
    tg.randn([90, 500]),
    tg.randn([180, 500]).slice({ axis: 0, start: 1, step: 2 }),
  ],
  'a transposed matrix': () => [tg.randn([129, 300]), tg.randn([300, 129]).T],
};

describe('broadcasting', () => {
  for (const [name, make] of Object.entries(PAIRS)) {
    it(`${name}: as if the operands had been copied`, () => {
      tg.manualSeed(5);
      tg.tidy(() => {
        const [x, y] = make();
        const shape = tg.add(x, y).shape;
        const full = (t: Tensor) => t.broadcastTo(shape).clone();
        for (const op of [tg.sub, tg.greater]) {
          expect(op(x, y).dataSync()).deep.equal(op(full(x), full(y)).dataSync());
          expect(op(y, x).dataSync()).deep.equal(op(full(y), full(x)).dataSync());
        }
        const where = tg.where(tg.greater(x, 0), x, y);
        const wanted = tg.where(tg.greater(full(x), 0), full(x), full(y));
        expect(where.dataSync()).deep.equal(wanted.dataSync());
      });
    });
  }
});
