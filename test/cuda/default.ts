// Given to mocha as a file of its own (see cuda-golden.test.ts): what other test files make is on the CUDA device,
// and some of it was.
import { expect } from 'chai';
import * as tg from 'tapegrad';
import './device.js';

tg.setDefaultDevice('cuda'); // before they are loaded
after(() => {
  expect(tg.memory({ device: 'cuda' }).systemAllocations).to.be.above(0);
});
