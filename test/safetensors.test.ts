// tg.io's safetensors: what is written comes back, and the bytes are those of the format.
import { expect } from 'chai';
import fc from 'fast-check';
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as tg from 'tapegrad';
import { io } from 'tapegrad';
import { bytesOf, fileOf, single, useFolder } from './safetensors/tools.js';

describe('safetensors: round trip', () => {
  const folder = useFolder();
  const cases: [string, () => tg.Tensor][] = [
    [
      'float32',
      () =>
        tg.tensor(Float32Array.of(1, -0, NaN, Infinity, -Infinity, 1e-45, 3.4e38), { shape: [7] }),
    ],
    [
      'float64',
      () =>
        tg.tensor(Float64Array.of(Math.PI, -0, 5e-324, NaN), { shape: [2, 2], dtype: 'float64' }),
    ],
    [
      'int32',
      () => tg.tensor(Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0), { shape: [3, 1], dtype: 'int32' }),
    ],
    ['bool', () => tg.tensor(Uint8Array.of(1, 0, 1), { shape: [3], dtype: 'bool' })],
    ['a scalar', () => tg.tensor(Float32Array.of(42), { shape: [] })],
    ['an empty tensor', () => tg.tensor(new Float32Array(0), { shape: [3, 0, 2] })],
    ['bfloat16', () => tg.tensor([1, -2.5, NaN, -0, Infinity, 1e-40], { dtype: 'bfloat16' })],
    ['an empty vector', () => tg.tensor(new Int32Array(0), { shape: [0], dtype: 'int32' })],
    [
      'eight axes',
      () => tg.tensor(new Float32Array(4).fill(7), { shape: [1, 2, 1, 1, 2, 1, 1, 1] }),
    ],
  ];
  for (const [name, make] of cases) {
    it(`keeps ${name} to the bit`, () => {
      const x = make();
      const path = join(folder(), 'round.safetensors');
      io.saveSafetensors(path, { x });
      for (const { tensors } of [
        io.loadSafetensors(path),
        io.decodeSafetensors(io.encodeSafetensors({ x })),
      ]) {
        const y = tensors['x']!;
        expect(Object.keys(tensors)).to.deep.equal(['x']);
        expect(y.dtype).to.equal(x.dtype);
        expect(y.shape).to.deep.equal(x.shape);
        expect(bytesOf(y.dataSync())).to.deep.equal(bytesOf(x.dataSync()));
        y.dispose();
      }
      x.dispose();
    });
  }

  it('keeps names of every kind, and metadata', () => {
    const names = [
      '',
      ' ',
      'a.b/c',
      'größe',
      '\ufeffmark',
      '重み',
      '🎲',
      '__proto__',
      'constructor',
      '"\\\n\u0001',
      'toString',
    ];
    const metadata = { format: 'pt', '🎲': '重み', ['__proto__']: 'harmless', empty: '' };
    tg.tidy(() => {
      const saved = Object.fromEntries(
        names.map((name, i) => [name, tg.tensor(Float32Array.of(i))]),
      );
      const path = join(folder(), 'names.safetensors');
      io.saveSafetensors(path, saved, { metadata });
      const { tensors, metadata: read } = io.loadSafetensors(path);
      expect(Object.keys(tensors).sort()).to.deep.equal([...names].sort());
      names.forEach((name, i) => expect(tensors[name]!.item(), name).to.equal(i));
      expect(Object.entries(read).sort()).to.deep.equal(Object.entries(metadata).sort());
      expect(({} as Record<string, unknown>)['harmless'], 'a polluted prototype').to.equal(
        undefined,
      );
      expect(Object.getPrototypeOf(tensors)).to.equal(null);
    });
  });

  it('keeps no tensors at all', () => {
    const { tensors, metadata } = io.decodeSafetensors(io.encodeSafetensors({}));
    expect(Object.keys(tensors)).to.deep.equal([]);
    expect(Object.keys(metadata)).to.deep.equal([]);
  });

  it('saves a module and loads it into another', () => {
    tg.tidy(() => {
      const one = new tg.nn.Linear(5, 3);
      const two = new tg.nn.Linear(5, 3);
      const path = join(folder(), 'module.safetensors');
      io.saveSafetensors(path, one);
      two.loadStateDict(io.loadSafetensors(path).tensors, { strict: true });
      const x = tg.rand([4, 5]);
      expect(two.forward(x).dataSync()).to.deep.equal(one.forward(x).dataSync());
    });
  });

  it('survives any set of tensors (property)', () => {
    const anyTensor = fc
      .record({
        shape: fc.array(fc.nat(4), { maxLength: 4 }),
        dtype: fc.constantFrom('float32', 'float64', 'int32'),
      })
      .map(({ shape, dtype }) => ({ shape, dtype, size: shape.reduce((a, b) => a * b, 1) }));
    const anySet = fc.dictionary(fc.string({ unit: 'binary' }), anyTensor, { maxKeys: 6 });
    fc.assert(
      fc.property(anySet, fc.nat(1e6), (set, seed) => {
        tg.tidy(() => {
          const saved = Object.fromEntries(
            Object.entries(set)
              .filter(([name]) => name !== '__metadata__')
              .map(([name, { shape, dtype, size }]) => {
                const kinds = { float32: Float32Array, float64: Float64Array, int32: Int32Array };
                const data = kinds[dtype as 'int32'].from(
                  { length: size },
                  () => (seed++ * 7919) % 10007,
                );
                return [name, tg.tensor(data, { shape, dtype: dtype as 'int32' })];
              }),
          );
          const { tensors } = io.decodeSafetensors(io.encodeSafetensors(saved));
          expect(Object.keys(tensors).sort()).to.deep.equal(Object.keys(saved).sort());
          for (const [name, t] of Object.entries(saved)) {
            expect(tensors[name]!.shape).to.deep.equal(t.shape);
            expect(tensors[name]!.dataSync()).to.deep.equal(t.dataSync());
          }
        });
      }),
      { numRuns: 200 },
    );
  });
});

describe('safetensors: the bytes', () => {
  const folder = useFolder();
  // Written by hand from the specification, and equal to what the reference implementation 0.8.0
  // writes.
  const HEADER =
    '{"__metadata__":{"format":"pt"},"d":{"dtype":"F64","shape":[],"data_offsets":[0,8]},' +
    '"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},"é":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},' +
    '"i":{"dtype":"I32","shape":[0],"data_offsets":[20,20]},"m":{"dtype":"BOOL","shape":[2],"data_offsets":[20,22]}}';
  const byHand = () => {
    const padded = HEADER + ' '.repeat((8 - (Buffer.byteLength(HEADER) % 8)) % 8);
    const data = Buffer.alloc(22);
    data.writeDoubleLE(-2.5, 0);
    data.writeFloatLE(1, 8);
    data.writeFloatLE(2, 12);
    data.writeFloatLE(0.5, 16);
    data[20] = 1;
    return fileOf(padded, data);
  };
  const tensors = () => ({
    é: tg.tensor(Float32Array.of(0.5)),
    m: tg.tensor(Uint8Array.of(1, 0), { dtype: 'bool' }),
    i: tg.tensor(new Int32Array(0), { shape: [0], dtype: 'int32' }),
    a: tg.tensor(Float32Array.of(1, 2), { shape: [1, 2] }),
    d: tg.tensor(Float64Array.of(-2.5), { shape: [], dtype: 'float64' }),
  });

  it('are those of a file made by hand, in whatever order the tensors come', () => {
    tg.tidy(() => {
      const options = { metadata: { format: 'pt' } };
      const forwards = io.encodeSafetensors(tensors(), options);
      const backwards = io.encodeSafetensors(
        Object.fromEntries(Object.entries(tensors()).reverse()),
        options,
      );
      expect(Buffer.from(forwards).toString('latin1')).to.equal(
        Buffer.from(byHand()).toString('latin1'),
      );
      expect(backwards).to.deep.equal(forwards);
      const path = join(folder(), 'bytes.safetensors');
      io.saveSafetensors(path, tensors(), options);
      expect(new Uint8Array(fs.readFileSync(path))).to.deep.equal(forwards);
    });
  });

  it('of a file made by hand are understood, from an odd address too', () => {
    tg.tidy(() => {
      const shifted = new Uint8Array(byHand().length + 3).subarray(3);
      shifted.set(byHand());
      const read = io.decodeSafetensors(shifted);
      expect(Array.from(read.tensors['a']!.dataSync())).to.deep.equal([1, 2]);
      expect(read.tensors['d']!.item()).to.equal(-2.5);
      expect(read.tensors['d']!.shape).to.deep.equal([]);
      expect(read.tensors['é']!.item()).to.equal(0.5);
      expect(Array.from(read.tensors['m']!.dataSync())).to.deep.equal([1, 0]);
      expect({ ...read.metadata }).to.deep.equal({ format: 'pt' });
    });
  });

  it('allow white space, escapes and tensors in any order in the header', () => {
    const header =
      '{ "b" :\t{"data_offsets":[4, 8],\n"shape":[ 1 ],"dtype":"F32"},\r\n' +
      '"\\u0061\\n":{"dtype":"F32","shape":[],"data_offsets":[0,4]} }   ';
    tg.tidy(() => {
      const read = io.decodeSafetensors(fileOf(header, bytesOf(Float32Array.of(3, 4)))).tensors;
      expect(read['b']!.item()).to.equal(4);
      expect(read['a\n']!.item()).to.equal(3);
    });
  });
});

describe('safetensors: escapes in strings', () => {
  const decode = (json: string) =>
    io.decodeSafetensors(fileOf(`{"__metadata__":{"k":${json}}}`)).metadata['k'];

  it('mean what JSON says', () => {
    const escapes = [
      '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
      '"\\u0000\\u00e9\\u91cd\\uD83C\\udfb2"',
      '"a\\u0041é\\n🎲"',
    ];
    for (const json of escapes) expect(decode(json)).to.equal(JSON.parse(json));
  });

  it('mean what JSON says (property)', () => {
    const escape = (text: string) =>
      text.replace(/[^]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (parts) => {
        const json = parts
          .map((part, i) => (i % 2 ? escape(part) : JSON.stringify(part).slice(1, -1)))
          .join('');
        expect(decode(`"${json}"`)).to.equal(parts.join(''));
      }),
    );
  });
});

describe('safetensors: other dtypes', () => {
  const numbers = (file: Uint8Array) =>
    tg.tidy(() => {
      const { x } = io.decodeSafetensors(file).tensors;
      return { dtype: x!.dtype, values: Array.from(x!.dataSync()) };
    });

  it('widens F16 exactly', () => {
    const bits = Uint16Array.of(
      0,
      0x8000,
      0x3c00,
      0xc000,
      0x7bff,
      0x0001,
      0x83ff,
      0x0400,
      0x7c00,
      0xfc00,
      0x7e01,
    );
    const values = [
      0,
      -0,
      1,
      -2,
      65504,
      2 ** -24,
      -1023 * 2 ** -24,
      2 ** -14,
      Infinity,
      -Infinity,
      NaN,
    ];
    expect(numbers(single('F16', bits))).to.deep.equal({ dtype: 'float32', values });
    expect(Object.is(numbers(single('F16', bits)).values[1], -0)).to.equal(true);
  });
  it('reads BF16 as bfloat16', () => {
    const bits = Uint16Array.of(0x3f80, 0xc049, 0x0001, 0x7f80, 0x7fc0, 0x8000);
    const values = [1, -3.140625, 2 ** -133, Infinity, NaN, -0];
    expect(numbers(single('BF16', bits))).to.deep.equal({ dtype: 'bfloat16', values });
  });
  const integers: [string, ArrayBufferView & { length: number }, number[]][] = [
    ['I8', Int8Array.of(-128, 127, -1), [-128, 127, -1]],
    ['U8', Uint8Array.of(0, 255, 7), [0, 255, 7]],
    ['I16', Int16Array.of(-32768, 32767, 5), [-32768, 32767, 5]],
    ['U16', Uint16Array.of(0, 65535, 9), [0, 65535, 9]],
    ['U32', Uint32Array.of(0, 2 ** 31 - 1), [0, 2 ** 31 - 1]],
    [
      'I64',
      BigInt64Array.of(-(2n ** 31n), 2n ** 31n - 1n, -1n, 5n),
      [-(2 ** 31), 2 ** 31 - 1, -1, 5],
    ],
    ['U64', BigUint64Array.of(0n, 2n ** 31n - 1n), [0, 2 ** 31 - 1]],
  ];
  for (const [dtype, data, values] of integers) {
    it(`reads ${dtype} as int32`, () => {
      expect(numbers(single(dtype, data))).to.deep.equal({ dtype: 'int32', values });
    });
  }
});
