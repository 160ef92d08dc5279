// Broken and malicious safetensors files: each is refused with TG_FILE and a message that says what
// is wrong and where; no tensor is left behind, and memory stays within its bound.
import { expect } from 'chai';
import fc from 'fast-check';
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as tg from 'tapegrad';
import { io } from 'tapegrad';
import { caught, child, fileOf, live, single, useFolder } from './tools.js';

describe('safetensors: hostile files', () => {
  const folder = useFolder();
  const entry = (fields: string) => `{"x":{${fields}}}`;
  const f32 = (shape: string, offsets: string) =>
    entry(`"dtype":"F32","shape":${shape},"data_offsets":${offsets}`);
  const two = (first: string, second: string) =>
    `{"a":{"dtype":"F32","shape":[1],"data_offsets":${first}},"b":{"dtype":"F32","shape":[1],"data_offsets":${second}}}`;
  const scalar = '"dtype":"F32","shape":[],"data_offsets":[0,4]';
  const bad: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /0 bytes are too few/],
    ['seven bytes', new Uint8Array(7), /7 bytes are too few/],
    ['no header', fileOf(''), /expected "\{" as the first byte/],
    ['a header past the end', fileOf('{}', 0, 3n), /passes the end of the file at 10/],
    ['a header above 100 MB', fileOf('{}', 0, 100_000_001n), /100000001 bytes is above the limit/],
    [
      'a header of 2^64 - 1 bytes',
      fileOf('{}', 0, 2n ** 64n - 1n),
      /18446744073709551615 bytes is above/,
    ],
    ['a header of 2^63 bytes', fileOf('{}', 0, 2n ** 63n), /above the limit/],
    ['a leading space', fileOf(' {}'), /as the first byte/],
    ['a byte order mark', fileOf('\ufeff{}'), /as the first byte/],
    ['an array', fileOf('[]'), /as the first byte/],
    ['an open object', fileOf('{'), /key: expected a string/],
    ['two objects', fileOf('{}{}'), /expected only spaces after the object \(header byte 2\)/],
    ['a NUL after the object', fileOf('{}\0'), /expected only spaces/],
    ['a trailing comma', fileOf(`{"x":{${scalar}},}`, 4), /key: expected a string/],
    ['nesting', fileOf('{"x":' + '['.repeat(100_000), 0), /tensor "x": expected an object/],
    [
      'an object in a field',
      fileOf(entry('"dtype":{"a":1}')),
      /tensor "x": dtype: expected a string/,
    ],
    [
      'invalid UTF-8',
      fileOf(Buffer.from('{"\xff":{}}', 'latin1')),
      /not valid UTF-8 \(header byte 2\)/,
    ],
    [
      'UTF-8 for a surrogate',
      fileOf(Buffer.from('{"\xed\xa0\x80":{}}', 'latin1')),
      /not valid UTF-8/,
    ],
    ['an overlong UTF-8 form', fileOf(Buffer.from('{"\xc0\xaf":{}}', 'latin1')), /not valid UTF-8/],
    ['half a surrogate pair', fileOf('{"\\ud800":{}}'), /half of a surrogate pair/],
    ['two high surrogates', fileOf('{"\\ud83d\\ud83d":{}}'), /half of a surrogate pair/],
    ['a pair in the wrong order', fileOf('{"\\ude00\\ud83d":{}}'), /half of a surrogate pair/],
    ['half an escape', fileOf('{"\\u00":{}}'), /invalid escape/],
    ['an unknown escape', fileOf('{"\\q":{}}'), /invalid escape/],
    ['a string without end', fileOf('{"abc'), /ends inside a string/],
    ['a string that ends in a backslash', fileOf('{"abc\\'), /invalid escape/],
    ['a control character', fileOf('{"a\nb":{}}'), /control character/],
    ['a duplicate name', fileOf(`{"x":{${scalar}},"x":{${scalar}}}`, 4), /duplicate key "x"/],
    [
      'a duplicate in disguise',
      fileOf(`{"x":{${scalar}},"\\u0078":{${scalar}}}`, 4),
      /duplicate key "x"/,
    ],
    [
      'a duplicate field',
      fileOf(entry(`${scalar},"dtype":"I32"`), 4),
      /tensor "x": duplicate key "dtype"/,
    ],
    [
      'metadata twice',
      fileOf('{"__metadata__":{},"__metadata__":{}}'),
      /duplicate key "__metadata__"/,
    ],
    [
      'a metadata key twice',
      fileOf('{"__metadata__":{"a":"","a":""}}'),
      /__metadata__: duplicate key "a"/,
    ],
    [
      'a number in metadata',
      fileOf('{"__metadata__":{"a":1}}'),
      /value of __metadata__ "a": expected a string/,
    ],
    ['metadata that is a list', fileOf('{"__metadata__":[]}'), /__metadata__: expected an object/],
    ['a tensor that is null', fileOf('{"x":null}'), /tensor "x": expected an object/],
    [
      'no dtype',
      fileOf(entry('"shape":[],"data_offsets":[0,4]'), 4),
      /tensor "x": dtype is missing/,
    ],
    [
      'no shape',
      fileOf(entry('"dtype":"F32","data_offsets":[0,4]'), 4),
      /tensor "x": shape is missing/,
    ],
    [
      'no offsets',
      fileOf(entry('"dtype":"F32","shape":[]'), 4),
      /tensor "x": data_offsets is missing/,
    ],
    [
      'an unknown field',
      fileOf(entry(`${scalar},"stride":[1]`), 4),
      /tensor "x": unknown field "stride"/,
    ],
    [
      'an unknown dtype',
      fileOf(entry('"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]'), 1),
      /"F8_E4M3" is not supp/,
    ],
    [
      'an inherited dtype',
      fileOf(entry('"dtype":"__proto__","shape":[],"data_offsets":[0,1]'), 1),
      /not supported/,
    ],
    [
      'a lower-case dtype',
      fileOf(entry('"dtype":"f32","shape":[],"data_offsets":[0,4]'), 4),
      /"f32" is not supported/,
    ],
    [
      'a negative size',
      fileOf(f32('[-1]', '[0,4]'), 4),
      /tensor "x": shape: expected a non-negative integer/,
    ],
    ['half a size', fileOf(f32('[1.5]', '[0,4]'), 4), /shape: expected a non-negative integer/],
    ['an exponent', fileOf(f32('[1e0]', '[0,4]'), 4), /shape: expected a non-negative integer/],
    ['a leading zero', fileOf(f32('[01]', '[0,4]'), 4), /leading zero/],
    [
      'a size in quotes',
      fileOf(f32('["1"]', '[0,4]'), 4),
      /shape: expected a non-negative integer/,
    ],
    ['a size of 2^53', fileOf(f32('[9007199254740992]', '[0,4]'), 4), /number above 2\^53 - 1/],
    [
      'an overflowing shape',
      fileOf(f32('[4294967296,4294967296]', '[0,0]')),
      /more than 2\^48 elements/,
    ],
    [
      'an overflow behind a zero',
      fileOf(f32('[4294967296,4294967296,0]', '[0,0]')),
      /more than 2\^48 elements/,
    ],
    ['nine axes', fileOf(f32('[1,1,1,1,1,1,1,1,1]', '[0,4]'), 4), /shape: more than 8 numbers/],
    ['a shape that is a number', fileOf(f32('1', '[0,4]'), 4), /shape: expected an array/],
    ['one offset', fileOf(f32('[1]', '[4]'), 4), /data_offsets must be two numbers/],
    ['three offsets', fileOf(f32('[1]', '[0,4,4]'), 4), /data_offsets: more than 2 numbers/],
    ['offsets backwards', fileOf(f32('[1]', '[4,0]'), 4), /\[4, 0\] run backwards/],
    [
      'negative offsets',
      fileOf(f32('[1]', '[-4,0]'), 4),
      /data_offsets: expected a non-negative integer/,
    ],
    [
      'too few bytes',
      fileOf(f32('[2]', '[0,4]'), 4),
      /F32 of shape \[2\] takes 8 bytes, but .* hold 4/,
    ],
    ['too many bytes', fileOf(f32('[0]', '[0,4]'), 4), /takes 0 bytes, but .* hold 4/],
    ['a hole in front', fileOf(f32('[1]', '[4,8]'), 8), /tensor "x".*hole of 4 bytes/],
    ['a hole between', fileOf(two('[0,4]', '[8,12]'), 12), /tensor "b".*hole of 4 bytes/],
    ['an overlap', fileOf(two('[0,4]', '[0,4]'), 4), /tensor "b".*overlaps the tensor before it/],
    ['half an overlap', fileOf(two('[0,4]', '[2,6]'), 6), /overlaps/],
    [
      'an empty tensor inside another',
      fileOf(
        two('[0,4]', '[2,2]').replace(
          '"b":{"dtype":"F32","shape":[1]',
          '"b":{"dtype":"F32","shape":[0]',
        ),
        4,
      ),
      /overlaps/,
    ],
    ['data cut off', fileOf(f32('[2]', '[0,8]'), 7), /pass the end of the data at 7/],
    [
      'data to spare',
      fileOf(f32('[1]', '[0,4]'), 5),
      /1 bytes after the last tensor belong to none/,
    ],
    ['data and no tensor', fileOf('{}', 3), /3 bytes after the last tensor/],
    [
      'a bool of 2',
      single('BOOL', Uint8Array.of(0, 1, 2)),
      /tensor "x": element 2 is neither 0 nor 1/,
    ],
    [
      'an I64 of 2^31',
      single('I64', BigInt64Array.of(1n, 2n ** 31n)),
      /element 1 does not fit into int32 \(dtype I64\)/,
    ],
    [
      'an I64 of -2^31 - 1',
      single('I64', BigInt64Array.of(-(2n ** 31n) - 1n)),
      /element 0 does not fit/,
    ],
    ['an I64 of 2^32', single('I64', BigInt64Array.of(2n ** 32n)), /does not fit/],
    [
      'a U64 of 2^64 - 1',
      single('U64', BigUint64Array.of(2n ** 64n - 1n)),
      /does not fit into int32 \(dtype U64\)/,
    ],
    [
      'a U32 of 2^31',
      single('U32', Uint32Array.of(2 ** 31)),
      /does not fit into int32 \(dtype U32\)/,
    ],
    [
      '16,385 empty tensors',
      fileOf(
        `{${Array.from({ length: 16_385 }, (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`).join()}}`,
      ),
      /more than 16384 tensors/,
    ],
  ];
  bad.forEach(([name, bytes, message], i) => {
    it(`refuses ${name}`, () => {
      const before = live();
      const path = join(folder(), `bad-${i}.safetensors`);
      fs.writeFileSync(path, bytes);
      const fromFile = caught(() => io.loadSafetensors(path));
      const fromBytes = caught(() => io.decodeSafetensors(bytes));
      expect(fromFile.code, fromFile.stack).to.equal('TG_FILE');
      expect(fromBytes.code, fromBytes.stack).to.equal('TG_FILE');
      expect(fromFile.message).to.match(message);
      expect(fromFile.message.startsWith(`${path}: `), fromFile.message).to.equal(true);
      expect(fromFile.message.split('\n').length, 'one line').to.equal(1);
      expect(fromBytes.message.startsWith('safetensors: '), fromBytes.message).to.equal(true);
      expect(live()).to.equal(before);
    });
  });

  it('frees the tensors made before a bad element is found', () => {
    const header = JSON.stringify({
      a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
      b: { dtype: 'BOOL', shape: [1], data_offsets: [8, 9] },
    });
    const before = live();
    const error = caught(() =>
      io.decodeSafetensors(fileOf(header, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 9))),
    );
    expect(error.message).to.match(/tensor "b"/);
    expect(live()).to.equal(before);
  });

  it('keeps a long or strange name short and escaped in the message', () => {
    const { message } = caught(() => io.decodeSafetensors(fileOf(`{"${'n\\n'.repeat(5000)}":0}`)));
    expect(message.length).to.be.below(300);
    expect(message).to.not.include('\n');
  });

  it('throws TG_FILE or loads whatever a mutation makes of a good file, and never keeps a tensor', function () {
    this.timeout(600_000);
    const good = tg.tidy(() =>
      io.encodeSafetensors(
        {
          w: tg.tensor(new Float32Array(12).fill(1), { shape: [3, 4] }),
          b: tg.tensor(Uint8Array.of(1, 0, 1), { dtype: 'bool' }),
          n: tg.tensor(Int32Array.of(5, -6), { dtype: 'int32' }),
        },
        { metadata: { format: 'pt', note: 'größe' } },
      ),
    );
    const mutation = fc.oneof(
      fc.record({ at: fc.nat(good.length - 1), to: fc.nat(255), cut: fc.constant(0) }),
      fc.record({
        at: fc.nat(good.length - 1),
        to: fc.constantFrom(...Buffer.from('{}[],:"0123456789-.e\\ ')),
        cut: fc.constant(0),
      }),
      fc.record({
        at: fc.nat(good.length - 1),
        to: fc.constant(-1),
        cut: fc.integer({ min: 1, max: 40 }),
      }),
      fc.record({
        at: fc.nat(good.length - 1),
        to: fc.constant(-2),
        cut: fc.integer({ min: 1, max: 40 }),
      }),
    );
    const before = live();
    let refused = 0;
    let loaded = 0;
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        (mutations, fixLength) => {
          let bytes = Buffer.from(good);
          for (const { at, to, cut } of mutations) {
            const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at + cut)];
            if (to >= 0 && at < bytes.length) bytes[at] = to;
            if (to === -1) bytes = Buffer.concat([head, tail]);
            if (to === -2)
              bytes = Buffer.concat([head, bytes.subarray(at, at + cut), bytes.subarray(at)]);
          }
          // Otherwise most mutations would only ever meet the check of the header's length.
          const brace = bytes.lastIndexOf('}');
          if (fixLength && brace > 8) bytes.writeBigUInt64LE(BigInt(brace - 7));
          let result;
          try {
            result = io.decodeSafetensors(bytes);
          } catch (error) {
            expect((error as { code?: string }).code, (error as Error).stack).to.equal('TG_FILE');
            refused++;
            return;
          }
          for (const t of Object.values(result.tensors)) t.dispose();
          loaded++;
        },
      ),
      { numRuns: 20_000 },
    );
    expect(refused).to.be.above(1000);
    expect(loaded).to.be.above(100);
    expect(live()).to.equal(before);
  });
});

describe('safetensors: memory', () => {
  const folder = useFolder();
  const MiB = 2 ** 20;
  const hold = (dtype: string, size: number) =>
    fileOf(
      `{"x":{"dtype":"${dtype}","shape":[${(32 * MiB) / size}],"data_offsets":[0,${32 * MiB}]}}`,
      32 * MiB,
    );
  const list = (n: number, item: (i: number) => string) =>
    Array.from({ length: n }, (_, i) => item(i)).join();
  const empty = '{"dtype":"F32","shape":[0,0,0,0,0,0,0,0],"data_offsets":[0,0]}';
  // What the tensors returned take is not counted.
  const cases: [string, () => Uint8Array, number][] = [
    ['32 MiB of nesting', () => fileOf('{"x":' + '['.repeat(32 * MiB)), 0],
    ['32 MiB of sizes', () => fileOf('{"x":{"shape":[' + '0,'.repeat(16 * MiB)), 0],
    ['a name of 32 MiB', () => fileOf(`{"${'n'.repeat(32 * MiB)}":0}`), 0],
    ['a name of 16 Mi escapes', () => fileOf(`{"${'\\n'.repeat(16 * MiB)}":0}`), 0],
    ['400,000 tensors', () => fileOf(`{${list(400_000, (i) => `"${i}":${empty}`)}}`), 0],
    [
      '16,384 tensors, and a byte too many',
      () => fileOf(`{${list(16_384, (i) => `"${i}":${empty}`)}}`, 1),
      0,
    ],
    [
      '400,000 metadata entries',
      () => fileOf(`{"__metadata__":{${list(400_000, (i) => `"${i}":""`)}}}`),
      0,
    ],
    ['32 MiB of F32', () => hold('F32', 4), 32 * MiB],
    ['32 MiB of F16', () => hold('F16', 2), 64 * MiB],
    ['32 MiB of I64', () => hold('I64', 8), 16 * MiB],
  ];
  const script = (path: string) => `
    const fs = await import('node:fs');
    const { io } = await import('tapegrad');
    const peak = () => Number(/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    io.decodeSafetensors(io.encodeSafetensors({}));
    fs.writeFileSync('/proc/self/clear_refs', '5');
    const before = peak();
    let code = 'loaded', kept;
    try { kept = io.loadSafetensors(${JSON.stringify(path)}); } catch (error) { code = error.code; }
    console.log(code, peak() - before);`;
  for (const [name, make, result] of cases) {
    it(`of reading ${name}: at most twice the file and 16 MiB`, function () {
      if (process.platform !== 'linux') this.skip();
      const path = join(folder(), 'big.safetensors');
      fs.writeFileSync(path, make());
      // A small young generation: else V8's garbage, which grows with the code loaded, hides what reading takes.
      const small = ['env', 'NODE_OPTIONS=--max-semi-space-size=1'];
      const { stdout, stderr } = child(small, script(path));
      const [code, extra] = stdout.split(' ');
      expect(code, stderr).to.equal(result ? 'loaded' : 'TG_FILE');
      expect(Number(extra) - result).to.be.at.most(2 * fs.statSync(path).size + 16 * MiB);
    });
  }
});
