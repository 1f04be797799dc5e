/** The payload of each channel by the form of its name; apps add their own by declaration merging. */
// biome-ignore lint/suspicious/noEmptyInterface: filled in by the generated payloads and by apps.
export interface ChannelTypes {}

/** What messages of a channel of this name carry; `unknown` where nothing is declared. */
export type DataOf<C extends string> = C extends keyof ChannelTypes ? ChannelTypes[C] : unknown;
