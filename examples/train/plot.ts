// The learning curves as an SVG file, drawn by Vega-Lite. Knows numbers only.
import { writeFileSync } from 'node:fs';
import * as vega from 'vega';
import * as vegaLite from 'vega-lite';
import type { Score } from './model.js';

export interface EpochScores {
  epoch: number;
  train: Score;
  validation: Score;
}

type Panel = Extract<vegaLite.TopLevelSpec, { hconcat: unknown }>['hconcat'][number];

/** Two panels over the epochs: loss and accuracy, each for the training and the validation set. */
export async function writeCurves(
  history: EpochScores[],
  title: string,
  path: string,
): Promise<void> {
  const rows = history.flatMap(({ epoch, train, validation }) => [
    { epoch, set: 'training', ...train },
    { epoch, set: 'validation', ...validation },
  ]);
  const epochs = history.map(({ epoch }) => epoch);
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)]; // a resumed run begins later
  const panel = (field: keyof Score, name: string, format: string): Panel => ({
    width: 320,
    height: 240,
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        scale: { domain: [first, Math.max(first + 1, last)], nice: false },
        axis: { title: 'epoch', tickMinStep: 1, format: 'd', grid: false, labelFlush: false },
      },
      y: { field, type: 'quantitative', scale: { zero: false }, axis: { title: name, format } },
      color: {
        field: 'set',
        type: 'nominal',
        scale: { domain: ['training', 'validation'], range: ['#4c78a8', '#f58518'] },
        legend: { title: null, orient: 'top', symbolType: 'stroke' },
      },
    },
  });
  const { spec } = vegaLite.compile({
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: { text: title, anchor: 'middle', offset: 12 },
    background: 'white',
    padding: 16,
    data: { values: rows },
    hconcat: [panel('loss', 'mean cross-entropy', '.2~f'), panel('accuracy', 'accuracy', '.1~%')],
    config: { font: 'sans-serif', axis: { titleFontWeight: 'normal' }, concat: { spacing: 32 } },
  });
  const view = new vega.View(vega.parse(spec), { renderer: 'none' });
  writeFileSync(path, await view.toSVG());
}
