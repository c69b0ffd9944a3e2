// What two texts have in common, word by word: the longest common subsequence, without what is equal at both ends.

export interface Piece {
  text: string;
  changed: boolean;
}

const MOST = 1500;

export function compare(a: string, b: string): [Piece[], Piece[]] {
  const left = a.match(/\s+|[^\s]+/g) ?? [];
  const right = b.match(/\s+|[^\s]+/g) ?? [];
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < left.length - head && tail < right.length - head && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
  const one = left.slice(head, left.length - tail);
  const other = right.slice(head, right.length - tail);
  const [keptOne, keptOther] = one.length > MOST || other.length > MOST ? [new Set<number>(), new Set<number>()] : common(one, other);
  const pieces = (all: string[], middle: string[], kept: Set<number>): Piece[] => joined([
    ...all.slice(0, head).map((text) => ({ text, changed: false })),
    ...middle.map((text, n) => ({ text, changed: !kept.has(n) })),
    ...all.slice(all.length - tail).map((text) => ({ text, changed: false })),
  ]);
  return [pieces(left, one, keptOne), pieces(right, other, keptOther)];
}

function common(a: string[], b: string[]): [Set<number>, Set<number>] {
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1]! + 1 : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!);
  const [left, right] = [new Set<number>(), new Set<number>()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      left.add(i++);
      right.add(j++);
    } else if (best[(i + 1) * width + j]! >= best[i * width + j + 1]!) i++;
    else j++;
  }
  return [left, right];
}

function joined(pieces: Piece[]): Piece[] {
  const found: Piece[] = [];
  for (const each of pieces) {
    const last = found.at(-1);
    if (last?.changed === each.changed) last.text += each.text;
    else found.push({ ...each });
  }
  return found;
}
