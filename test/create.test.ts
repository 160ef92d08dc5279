// Creation functions and printing: exact values and exact text.
import { expect } from 'chai';
import * as tg from 'tapegrad';

const list = (t: tg.Tensor): unknown => t.toArray();

describe('creation', () => {
  it('constants', () => {
    expect(list(tg.zeros([2, 1]))).to.deep.equal([[0], [0]]);
    expect(list(tg.ones([2], { dtype: 'int32' }))).to.deep.equal([1, 1]);
    expect(list(tg.full([], 2.5))).to.equal(2.5);
    expect(list(tg.eye(2, 3))).to.deep.equal([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    const x = tg.tensor([[1, 2]], { dtype: 'float64' });
    for (const [y, value] of [
      [tg.zerosLike(x), 0],
      [tg.onesLike(x), 1],
      [tg.fullLike(x, -3), -3],
    ] as const) {
      expect(y.dtype).to.equal('float64');
      expect(list(y)).to.deep.equal([[value, value]]);
    }
  });

  it('ranges', () => {
    expect(list(tg.arange(4))).to.deep.equal([0, 1, 2, 3]);
    expect(tg.arange(4).dtype).to.equal('int32');
    expect(list(tg.arange(1, 2, 0.25))).to.deep.equal([1, 1.25, 1.5, 1.75]);
    expect(list(tg.arange(3, 0, -1))).to.deep.equal([3, 2, 1]);
    expect(list(tg.linspace(0, 1, 5))).to.deep.equal([0, 0.25, 0.5, 0.75, 1]);
    expect(list(tg.linspace(2, 9, 1))).to.deep.equal([2]);
  });

  it('data of every kind', () => {
    expect(tg.tensor([true, false]).dtype).to.equal('bool');
    expect(list(tg.tensor([true, false]))).to.deep.equal([true, false]);
    expect(tg.tensor(new Uint8Array([1, 255])).dtype).to.equal('int32');
    expect(tg.tensor(new Float64Array(2)).dtype).to.equal('float64');
    expect(tg.tensor(new Float32Array(6), { shape: [2, 3] }).shape).to.deep.equal([2, 3]);
    expect(tg.tensor([[], []]).shape).to.deep.equal([2, 0]);
  });

  it('random numbers repeat after the same seed, keep to their bounds and moments', () => {
    tg.manualSeed(7);
    const first = [tg.rand([999]), tg.randn([20_000]), tg.randint(-2, 3, [999])] as const;
    tg.manualSeed(7);
    const second = [tg.rand([999]), tg.randn([20_000]), tg.randint(-2, 3, [999])] as const;
    first.forEach((t, i) => expect(t.dataSync()).to.deep.equal(second[i]!.dataSync()));
    expect(first[0].min().item()).to.be.at.least(0);
    expect(first[0].max().item()).to.be.below(1);
    expect(first[1].mean().item()).to.be.closeTo(0, 0.03);
    expect(first[1].variance().item()).to.be.closeTo(1, 0.04);
    expect(new Set(first[2].dataSync())).to.deep.equal(new Set([-2, -1, 0, 1, 2]));
    expect([...tg.permutation(50)].sort((a, b) => a - b)).to.deep.equal(
      Array.from({ length: 50 }, (_, i) => i),
    );
  });
});

describe('printing, as PyTorch does', () => {
  const cases: [() => tg.Tensor, string][] = [
    [() => tg.tensor([1, 2.5, NaN, Infinity]), 'tensor([1.0000, 2.5000,    nan,    inf])'],
    [() => tg.tensor(3), 'tensor(3.)'],
    [() => tg.tensor([1e10, 1.5]), 'tensor([1.0000e+10, 1.5000e+00])'],
    [() => tg.arange(3), 'tensor([0, 1, 2], dtype=int32)'],
    [() => tg.tensor([true, false]), 'tensor([ true, false], dtype=bool)'],
    [() => tg.zeros([0, 3]), 'tensor([], shape=[0, 3])'],
    [
      () =>
        tg
          .tensor(
            [
              [1, -2],
              [3, 4],
            ],
            { dtype: 'float64', requiresGrad: true },
          )
          .mul(2),
      'tensor([[ 2., -4.],\n        [ 6.,  8.]], dtype=float64, grad=<mul>)',
    ],
  ];
  cases.forEach(([make, text], i) =>
    it(`case ${i + 1}`, () => {
      expect(String(make())).to.equal(text);
    }),
  );

  it('shows the corners of a large tensor', () => {
    const text = String(tg.zeros([2000, 2000]));
    expect(text.split('\n')).to.have.length(7);
    expect(text).to.include('[0., 0., 0., ..., 0., 0., 0.]');
  });
});
