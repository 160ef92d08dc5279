// Gradients that live outside a compiled function: added to from call to call, set to zero at the end or in
// between, and shared with eager code.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import { optim, type Tensor } from 'tapegrad';
import { batch, expectSame, stateOf, type World } from './compile/tools.js';

interface Parts {
  readonly w: Tensor;
  readonly optimizer: optim.Optimizer;
  readonly loss: (x: Tensor) => Tensor;
}
function world(
  body: (parts: Parts, x: Tensor) => Tensor,
  before?: (parts: Parts, k: number) => void,
): World {
  const w = tg.keep(batch(4, [5]));
  w.requiresGrad = true;
  const optimizer = new optim.Adam([w], { learningRate: 0.1 });
  const loss = (x: Tensor): Tensor => x.mul(w).sub(1).square().mean();
  const parts = { w, optimizer, loss };
  return {
    fn: (x: Tensor) => body(parts, x),
    args: (k) => {
      before?.(parts, k);
      return [batch(k, [5])];
    },
    state: () => stateOf([w], optimizer),
    counts: () => optimizer.steps,
  };
}
const BODIES: Readonly<Record<string, (parts: Parts, x: Tensor) => Tensor>> = {
  'never set to zero': ({ loss, optimizer }, x) => {
    const value = loss(x);
    value.backward();
    optimizer.step();
    return value;
  },
  'set to zero at the end': ({ loss, optimizer }, x) => {
    const value = loss(x);
    value.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return value;
  },
  'set to zero first': ({ loss, optimizer }, x) => {
    const value = loss(x);
    optimizer.minimize(value);
    return value;
  },
  'two backward passes, set to zero in between': ({ loss, optimizer }, x) => {
    loss(x).backward();
    optimizer.step();
    optimizer.zeroGrad();
    const value = loss(x.mul(2));
    value.backward();
    loss(x.add(1)).backward();
    optimizer.step();
    return value;
  },
};

describe('gradients of compiled functions', () => {
  for (const [name, body] of Object.entries(BODIES)) {
    it(name, () => expectSame(() => world(body), { calls: 5, what: name }));
    it(`${name}, with an eager gradient there before`, () =>
      expectSame(() => world(body, ({ loss }, k) => k === 0 && loss(batch(77, [5])).backward()), {
        calls: 5,
        what: name,
      }));
    it(`${name}, and eager code that sets it to zero now and then`, () =>
      expectSame(() => world(body, ({ optimizer }, k) => k % 2 === 1 && optimizer.zeroGrad()), {
        calls: 5,
        what: name,
      }));
    it(`${name}, and eager passes that add to it now and then`, () =>
      expectSame(
        () => world(body, ({ loss }, k) => k % 2 === 1 && loss(batch(k + 50, [5])).backward()),
        {
          calls: 5,
          what: name,
        },
      ));
  }

  it('accumulated over calls and used by an eager step', async () => {
    const ends: number[][] = [];
    for (const compiled of [false, true]) {
      const w = tg.tensor([1, 2], { requiresGrad: true });
      const optimizer = new optim.SGD([w], { learningRate: 0.1 });
      const add = (x: Tensor): Tensor => {
        const loss = x.mul(w).square().sum();
        loss.backward();
        return loss;
      };
      const step = tg.compile(add);
      for (let round = 0; round < 3; ++round) {
        for (let k = 0; k < 4; ++k)
          if (compiled) await step(batch(k, [2]));
          else add(batch(k, [2]));
        optimizer.step();
        optimizer.zeroGrad();
      }
      ends.push([...w.dataSync()]);
    }
    expect(ends[1]).to.deep.equal(ends[0]);
  });
});
