/** When a traced message passed where, milliseconds by each machine's own clock. */
export interface Stamps {
  emit: number;
  backplane?: number | undefined;
  edge: number;
}

export const STAGES = ["Emitter to store", "Store to edge", "Edge to this page", "All of it"] as const;

/** Milliseconds of each stage; clocks that disagree show as 0 at least. */
export function stagesOf({ emit, backplane, edge }: Stamps, here: number): readonly (number | undefined)[] {
  const span = (from: number | undefined, to: number) => (from === undefined ? undefined : Math.max(0, to - from));
  return [
    backplane === undefined ? undefined : span(emit, backplane),
    span(backplane, edge),
    span(edge, here),
    span(emit, here),
  ];
}

/** The value that a share of all lie below. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
