// Made by `cargo xtask codegen` from shared/protocol and its vectors; not to be edited.

/** `epoch-offset`: where a message stands in its channel. */
export type Position = string;
export type DeliveryClass = "reliable" | "latest" | "volatile" | "inbox";
export type Priority = "critical" | "high" | "medium" | "low";
export type ResetReason = "history_lost" | "history_trimmed";
export type ErrorCode = "bad_request" | "unauthenticated" | "token_expired" | "forbidden" | "unknown_channel" | "not_subscribed" | "already_subscribed" | "too_large" | "rate_limited" | "limit_exceeded" | "stale_message" | "bad_signature" | "unrecoverable_position" | "duplicate" | "unavailable" | "internal";

export interface MessageFrame { type: "message"; channel: string; position?: Position; key?: string; time: number; priority?: Priority; data: unknown; trace?: { emit: number; backplane?: number; edge: number } }
export interface DeltaFrame { type: "message"; channel: string; key?: string; time: number; priority?: Priority; base: number; delta: Record<string, unknown>; removed?: string[] }
export interface ConnectedFrame { id?: number; type: "connected"; connectionId: string; userId: string; node: string; nodes?: string[]; time: number; heartbeatInterval: number; resume?: string; expiresAt?: number }
export interface SubscribedFrame { id?: number; type: "subscribed"; channel: string; class: DeliveryClass; position?: Position; recovered: boolean; messages: MessageFrame[]; expiresAt?: number }
export interface UnsubscribedFrame { id?: number; type: "unsubscribed"; channel: string }
export interface PublishedFrame { id?: number; type: "published"; channel: string; position?: Position; duplicate: boolean }
export interface HistoryFrame { id?: number; type: "history"; channel: string; position: Position; messages: MessageFrame[]; complete: boolean }
export interface PresenceListFrame { id?: number; type: "presence"; channel: string; users: string[]; count: number }
export interface PresenceFrame { type: "presence"; channel: string; event: "join" | "leave"; userId: string }
export interface AckedFrame { id?: number; type: "acked"; channel: string; position: Position }
export interface PreferencesFrame { id?: number; type: "preferences"; preferences: Preferences }
export interface RefreshedFrame { id?: number; type: "refreshed"; expiresAt: number }
export interface ErrorFrame { id?: number; type: "error"; code: ErrorCode; message: string; channel?: string; retryable: boolean; retryAfterMs?: number }
export interface ResetFrame { type: "reset"; channel: string; position: Position; reason: ResetReason }
export interface ReconnectFrame { type: "reconnect"; reason: string; afterMs: number }
export interface PongFrame { id?: number; type: "pong"; time: number }
export interface HeartbeatFrame { type: "heartbeat"; time: number }
export interface DroppedFrame { type: "dropped"; channel: string; count: number }
export type ServerFrame = MessageFrame | DeltaFrame | ConnectedFrame | SubscribedFrame | UnsubscribedFrame | PublishedFrame | HistoryFrame | PresenceListFrame | PresenceFrame | AckedFrame | PreferencesFrame | RefreshedFrame | ErrorFrame | ResetFrame | ReconnectFrame | PongFrame | HeartbeatFrame | DroppedFrame;

export interface SubscriptionRequest { channel: string; since?: Position; filter?: string; maxRate?: number; keys?: string[]; delta?: boolean; trace?: boolean; params?: Record<string, unknown> }
export interface ConnectCommand { id?: number; type: "connect"; token?: string; resume?: string; device?: string; maxRate?: number }
export interface SubscribeCommand { id?: number; type: "subscribe"; channels: (string | SubscriptionRequest)[] }
export interface UnsubscribeCommand { id?: number; type: "unsubscribe"; channels: string[] }
export interface PublishCommand { id?: number; type: "publish"; channel: string; key?: string; data: unknown; idempotencyKey?: string }
export interface HistoryCommand { id?: number; type: "history"; channel: string; since?: Position; limit?: number; reverse?: boolean }
export interface PresenceCommand { id?: number; type: "presence"; channel: string }
export interface AckCommand { id?: number; type: "ack"; channel: string; position?: Position; positions?: Position[] }
export interface PreferencesCommand { id?: number; type: "preferences"; set?: Record<string, unknown> }
export interface RefreshCommand { id?: number; type: "refresh"; token: string }
export interface PingCommand { id?: number; type: "ping" }
export interface HeartbeatCommand { type: "heartbeat" }
export type ClientCommand = ConnectCommand | SubscribeCommand | UnsubscribeCommand | PublishCommand | HistoryCommand | PresenceCommand | AckCommand | PreferencesCommand | RefreshCommand | PingCommand | HeartbeatCommand;
export interface Preferences { minimumLevel?: string; sound?: boolean; toast?: boolean; rules?: Record<string, unknown>[]; quietHours?: { timeZone: string; from: string; until: string; days?: string[] } | null }
