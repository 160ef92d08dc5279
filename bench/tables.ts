// A report as text: a table for each group and number of threads, for the terminal or in Markdown.
import { quote } from './cases.js';
import { LIMIT_NAMES, limitOf } from './limits.js';
import { bestPeer, groups, type Group, type Report, type Result } from './report.js';

const times = (x: number): string => `${x.toFixed(x < 100 ? 2 : 0)}×`;
const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;

/** How near to the machine's limit: "94 % of peak"; of a step also the share of its bare products. */
function limits({ work, limit, products }: Result): string {
  const kind = limitOf(work)?.kind;
  if (!limit || !kind) return '';
  if (!products) return `${percent(limit.ratio.median)} ${LIMIT_NAMES[kind]}`;
  const floor = `floor ${quote(work, limit.median_ns)} (${percent(limit.ratio.median)})`;
  return `${floor}, products ${quote(work, products.median_ns)} (${percent(products.ratio.median)})`;
}

type Row = string[];

function rowOf(result: Result, peers: readonly string[]): Row {
  const { name, work, ours } = result;
  const cells = peers.map((peer) => {
    const theirs = result.peers[peer];
    return theirs ? `${quote(work, theirs.median_ns)} (${times(theirs.ratio.median)})` : '–';
  });
  const best = bestPeer(result);
  const against = best
    ? `${times(best[1].ratio.median)} ${best[0]} (${best[1].ratio.low.toFixed(2)} … ${best[1].ratio.high.toFixed(2)})`
    : '–';
  const { eager } = result;
  const own = eager ? `${quote(work, eager.median_ns)} (${times(eager.ratio.median)})` : '';
  return [name, quote(work, ours.median_ns), own, limits(result), ...cells, against];
}

/** Head and rows of a group: only peers and columns that have something to say. */
function table({ results }: Group): Row[] {
  const peers = [...new Set(results.flatMap((r) => Object.keys(r.peers)))];
  const head = ['case', 'tapegrad', 'eager', 'limit', ...peers, 'against the best (spread)'];
  const rows = [head, ...results.map((r) => rowOf(r, peers))];
  const empty = (i: number) => rows.slice(1).every((row) => row[i] === '' || row[i] === '–');
  return rows.map((row) => row.filter((_, i) => !empty(i)));
}

const threads = (n: number): string => (n === 1 ? 'one thread' : `${n} threads`);

function summary({ mean, lowest, results }: Group): string {
  if (mean === null || results.length < 2) return '';
  return `geometric mean against the best peer ${times(mean)}, lowest ${times(lowest!)}`;
}

/** Rows of text in columns: the first is flush left, the others flush right. */
function columns(rows: Row[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  '),
  );
}

/** What ran where: one line. */
export function origin({ machine, isa, date, rounds, seconds }: Report): string {
  const cpu = `${machine.cpu}${machine.cpuId ? ` (${machine.cpuId})` : ''}, ${machine.cores} cores`;
  return (
    `${date.slice(0, 10)}; ${cpu}; ${isa}; node ${machine.node}; commit ${machine.commit ?? 'unknown'}; ` +
    `${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${seconds} s`
  );
}

function peerLines(report: Report): string[] {
  return Object.entries(report.peers).map(([name, peer]) =>
    'skipped' in peer
      ? `${name} skipped: ${peer.skipped}`
      : `${name}: ${peer.library}, ${peer.isa}`,
  );
}

const MEANING =
  'Ratios are the peer’s time over ours, paired by round; above 1 tapegrad is faster.';

/** For the terminal. */
export function plain(report: Report): string {
  const parts = groups(report.results).map((group) => {
    const note = summary(group);
    return [
      `${group.name}, ${threads(group.threads)}`,
      ...columns(table(group)),
      ...(note ? [note] : []),
    ];
  });
  const peers = peerLines(report);
  return [
    ...parts.map((lines) => `${lines.join('\n')}\n`),
    [origin(report), ...peers, ...(peers.length > 0 ? [MEANING] : [])].join('\n'),
  ].join('\n');
}

/** For docs/performance.md: to be pasted as it is. */
export function markdown(report: Report): string {
  const line = (row: Row) => `| ${row.join(' | ')} |`;
  const parts = groups(report.results).map((group) => {
    const [head = [], ...rows] = table(group);
    const note = summary(group);
    return [
      `**${group.name}, ${threads(group.threads)}**${note && `: ${note}.`}`,
      '',
      line(head),
      line(head.map((_, i) => (i === 0 ? '---' : '---:'))),
      ...rows.map(line),
      '',
    ].join('\n');
  });
  const about = [origin(report), ...peerLines(report)].map((text) => `- ${text}`);
  return [`${about.join('\n')}\n`, `${MEANING}\n`, ...parts].join('\n').trimEnd();
}
