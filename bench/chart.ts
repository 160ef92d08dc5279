// The ratios as an SVG file, drawn by Vega-Lite: for each group a panel, for each case and number of threads a bar
// from 1 to the ratio against the best peer, coloured by that peer; dots are the other peers. Knows reports only.
import * as vega from 'vega';
import * as vegaLite from 'vega-lite';
import { bestPeer, groups, type Group, type Report } from './report.js';

type Panel = Extract<vegaLite.TopLevelSpec, { concat: unknown }>['concat'][number];

const WIDTH = 340;
const BAR = 14;
const TICKS = [0.1, 0.2, 0.5, 0.8, 1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 3000];

/** From and to where an axis of ratios reaches: all of them, and 1. */
const reach = (ratios: number[]): [number, number] => [
  Math.min(0.95, ...ratios) * 0.97,
  Math.max(1.2, ...ratios) * 1.05,
];

function panel({ name, threads, results }: Group, peers: string[]): Panel {
  const rows = results.flatMap((result) => {
    const best = bestPeer(result)?.[0];
    return Object.entries(result.peers).map(([peer, { ratio }]) => ({
      case: result.name.slice(name.length + 1),
      peer,
      ratio: ratio.median,
      label: `${ratio.median.toFixed(2)}×`,
      best: peer === best,
    }));
  });
  const domain = reach(rows.map((row) => row.ratio));
  const values = TICKS.filter((tick) => tick >= domain[0] && tick <= domain[1]);
  const y = {
    field: 'case',
    type: 'nominal',
    sort: null,
    axis: { title: null, labelLimit: 260 },
  } as const;
  const x = {
    field: 'ratio',
    type: 'quantitative',
    scale: { type: 'log', domain, nice: false },
    axis: { title: null, values, format: '~r' },
  } as const;
  const color = {
    field: 'peer',
    type: 'nominal',
    scale: { domain: peers, scheme: 'tableau10' },
    legend: { title: null, orient: 'top', symbolType: 'square' },
  } as const;
  const best = [{ filter: 'datum.best' }];
  return {
    title: { text: `${name}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`, anchor: 'start' },
    width: WIDTH,
    height: { step: BAR },
    data: { values: rows },
    layer: [
      {
        transform: best,
        mark: { type: 'bar', height: BAR - 3 },
        encoding: { y, x, x2: { datum: 1 }, color },
      },
      {
        transform: [{ filter: '!datum.best' }],
        mark: { type: 'point', filled: true, size: 28, opacity: 1 },
        encoding: { y, x, color },
      },
      {
        // Beside the panel, where no dot is in the way.
        transform: best,
        mark: { type: 'text', align: 'left', x: WIDTH + 6, fontSize: 10 },
        encoding: { y, text: { field: 'label' } },
      },
      {
        data: { values: [{ ratio: 1 }] },
        mark: { type: 'rule', color: '#444' },
        encoding: { x },
      },
    ],
  };
}

/** The chart as the text of an SVG file; null if nothing was measured beside a peer. */
export async function chart(report: Report): Promise<string | null> {
  const shown = groups(report.results).filter((group) => group.mean !== null);
  if (shown.length === 0) return null;
  const peers = [...new Set(report.results.flatMap((r) => Object.keys(r.peers)))];
  const { spec } = vegaLite.compile({
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: {
      text: 'tapegrad beside its peers',
      subtitle: 'bar: the best peer of a case, dots: the others; right of 1 tapegrad is faster',
      anchor: 'start',
    },
    background: 'white',
    padding: 16,
    columns: 2,
    concat: shown.map((group) => panel(group, peers)),
    resolve: { scale: { color: 'shared', x: 'independent', y: 'independent' } },
    config: { font: 'sans-serif', axis: { titleFontWeight: 'normal' }, concat: { spacing: 28 } },
  });
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}
