// Made by `cargo xtask codegen` from shared/protocol/vectors; not to be edited.

/** `epoch-offset`: where a message stands in its channel. */
export type Position = string;
export type ErrorCode = "bad_request" | "unauthenticated" | "token_expired" | "forbidden" | "unknown_channel" | "not_subscribed" | "already_subscribed" | "too_large" | "rate_limited" | "limit_exceeded" | "stale_message" | "bad_signature" | "unrecoverable_position" | "duplicate" | "unavailable" | "internal";
export type DeliveryClass = "reliable" | "latest" | "volatile" | "inbox";
export type Priority = "critical" | "high" | "medium" | "low";
export type ResetReason = "history_lost" | "history_trimmed";
export type AlertLevel = "info" | "warning" | "critical" | "emergency";
export type RuleAction = "show" | "silent" | "mute";
export type Weekday = "mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun";
export type SessionStatus = "active" | "paused" | "completed" | "expired" | "emergency_stopped";
export type Decision = "buy" | "sell" | "hold" | "close_position";
export type RiskLevel = "warning" | "critical" | "emergency";
export type RiskType = "loss_limit" | "time_limit" | "volatility" | "correlation";
export type Side = "buy" | "sell";
export type PresenceChange = "join" | "leave";

export interface Trace {
  emit: number;
  backplane?: number;
  edge: number;
}

export interface MessageFrame {
  type: "message";
  channel: string;
  position?: Position;
  time: number;
  priority?: Priority;
  data: unknown;
  key?: string;
  trace?: Trace;
}

export interface ConnectedFrame {
  id?: number;
  type: "connected";
  connectionId: string;
  userId: string;
  node: string;
  nodes?: string[];
  time: number;
  heartbeatInterval: number;
  resume?: string;
  expiresAt?: number;
}

export interface SubscribedFrame {
  id?: number;
  type: "subscribed";
  channel: string;
  class: DeliveryClass;
  position?: Position;
  recovered: boolean;
  messages: MessageFrame[];
  expiresAt?: number;
}

export interface UnsubscribedFrame {
  id?: number;
  type: "unsubscribed";
  channel: string;
}

export interface PublishedFrame {
  id?: number;
  type: "published";
  channel: string;
  position?: Position;
  duplicate: boolean;
}

export interface HistoryFrame {
  id?: number;
  type: "history";
  channel: string;
  position: Position;
  messages: MessageFrame[];
  complete: boolean;
}

export interface PresenceListFrame {
  id?: number;
  type: "presence";
  channel: string;
  users: string[];
  count: number;
}

export interface PresenceFrame {
  type: "presence";
  channel: string;
  event: PresenceChange;
  userId: string;
}

export interface AckedFrame {
  id?: number;
  type: "acked";
  channel: string;
  position: Position;
}

export interface PreferencesFrame {
  id?: number;
  type: "preferences";
  preferences: Preferences;
}

export interface RefreshedFrame {
  id?: number;
  type: "refreshed";
  expiresAt: number;
}

export interface ErrorFrame {
  id?: number;
  type: "error";
  code: ErrorCode;
  message: string;
  channel?: string;
  retryable: boolean;
  retryAfterMs?: number;
}

export interface ResetFrame {
  type: "reset";
  channel: string;
  position: Position;
  reason: ResetReason;
}

export interface ReconnectFrame {
  type: "reconnect";
  reason: string;
  afterMs: number;
}

export interface PongFrame {
  id?: number;
  type: "pong";
  time: number;
}

export interface HeartbeatFrame {
  type: "heartbeat";
  time: number;
}

export interface DroppedFrame {
  type: "dropped";
  channel: string;
  count: number;
}

export interface DeltaFrame {
  type: "message";
  channel: string;
  key?: string;
  time: number;
  base: number;
  delta: Record<string, unknown>;
  removed?: string[];
  priority?: Priority;
}

export type ServerFrame =
  | MessageFrame
  | ConnectedFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | PublishedFrame
  | HistoryFrame
  | PresenceListFrame
  | PresenceFrame
  | AckedFrame
  | PreferencesFrame
  | RefreshedFrame
  | ErrorFrame
  | ResetFrame
  | ReconnectFrame
  | PongFrame
  | HeartbeatFrame
  | DroppedFrame
  | DeltaFrame;

export interface SubscriptionRequest {
  channel: string;
  since?: Position;
  filter?: string;
  maxRate?: number;
  keys?: string[];
  params?: Record<string, unknown>;
  delta?: boolean;
  trace?: boolean;
}

export interface ConnectCommand {
  id?: number;
  type: "connect";
  token?: string;
  resume?: string;
  device?: string;
  maxRate?: number;
}

export interface SubscribeCommand {
  id?: number;
  type: "subscribe";
  channels: (string | SubscriptionRequest)[];
}

export interface UnsubscribeCommand {
  id?: number;
  type: "unsubscribe";
  channels: string[];
}

export interface PublishCommand {
  id?: number;
  type: "publish";
  channel: string;
  data: unknown;
  idempotencyKey?: string;
  key?: string;
}

export interface HistoryCommand {
  id?: number;
  type: "history";
  channel: string;
  since?: Position;
  limit?: number;
  reverse?: boolean;
}

export interface PresenceCommand {
  id?: number;
  type: "presence";
  channel: string;
}

export interface AckCommand {
  id?: number;
  type: "ack";
  channel: string;
  position?: Position;
  positions?: Position[];
}

export interface PreferencesCommand {
  id?: number;
  type: "preferences";
  set?: Record<string, unknown>;
}

export interface RefreshCommand {
  id?: number;
  type: "refresh";
  token: string;
}

export interface PingCommand {
  id?: number;
  type: "ping";
}

export interface HeartbeatCommand {
  type: "heartbeat";
}

export type ClientCommand =
  | ConnectCommand
  | SubscribeCommand
  | UnsubscribeCommand
  | PublishCommand
  | HistoryCommand
  | PresenceCommand
  | AckCommand
  | PreferencesCommand
  | RefreshCommand
  | PingCommand
  | HeartbeatCommand;

export interface Preferences {
  minimumLevel?: AlertLevel;
  sound?: boolean;
  toast?: boolean;
  rules?: PreferenceRule[];
  quietHours?: QuietHours;
}

export interface PreferenceRule {
  types?: string[];
  levels?: AlertLevel[];
  sessions?: string[];
  symbols?: string[];
  action: RuleAction;
  sound?: boolean;
  toast?: boolean;
  duringQuietHours?: boolean;
}

export interface QuietHours {
  timeZone: string;
  from: string;
  until: string;
  days?: Weekday[];
}

export interface SessionStartedData {
  type: "session_started";
  sessionId: string;
  userId: string;
  algorithmId?: string;
  limits?: Record<string, unknown>;
  timestamp: number;
}

export interface SessionStatusData {
  type: "session_status";
  sessionId: string;
  status: SessionStatus;
  data: SessionFigures;
  timestamp: number;
  alertId?: string;
}

export interface SessionCompletedData {
  type: "session_completed";
  sessionId: string;
  userId: string;
  summary: Record<string, unknown>;
  timestamp: number;
}

export interface AlgorithmDecisionData {
  type: "algorithm_decision";
  sessionId: string;
  userId: string;
  algorithmId: string;
  decision: Decision;
  reasoning: string;
  confidence: number;
  marketData: MarketView;
  timestamp: number;
}

export interface TradeExecutedData {
  type: "trade_executed";
  tradeId: string;
  sessionId: string;
  userId: string;
  symbol: string;
  side: Side;
  quantity: string;
  price: string;
  fee?: string;
  timestamp: number;
}

export interface OrderUpdateData {
  type: "order_update";
  orderId: string;
  userId: string;
  symbol: string;
  status: string;
  side: Side;
  quantity: string;
  price?: string;
  filledQuantity?: string;
  strategyId?: string;
  sessionId?: string;
  timestamp: number;
}

export interface PositionUpdateData {
  type: "position_update";
  userId: string;
  symbol: string;
  quantity: string;
  entryPrice: string;
  markPrice: string;
  unrealizedPnL: string;
  realizedPnL: string;
  riskMetrics?: Record<string, unknown>;
  sessionId?: string;
  timestamp: number;
}

export interface StrategyUpdateData {
  type: "strategy_update";
  strategyId: string;
  userId: string;
  status: string;
  metrics?: Record<string, unknown>;
  event?: unknown;
  timestamp: number;
}

export interface RiskAlertData {
  type: "risk_alert";
  sessionId: string;
  userId: string;
  alertLevel: RiskLevel;
  alertType: RiskType;
  message: string;
  currentValue: number | string;
  threshold: number;
  timestamp: number;
  alertId: string;
  presentation?: Presentation;
}

export interface EmergencyStopData {
  type: "emergency_stop";
  sessionId: string;
  userId: string;
  reason: string;
  timestamp: number;
  alertId: string;
}

export interface MarketDataData {
  type: "market_data";
  symbol: string;
  price: string;
  change?: string;
  volume?: string;
  bid?: string;
  ask?: string;
  timestamp: number;
}

export interface VolatilityAlertData {
  type: "volatility_alert";
  symbol: string;
  volatility: number;
  threshold?: number;
  timestamp: number;
}

export interface SystemNotificationData {
  type: "system_notification";
  level: string;
  message: string;
  startsAt?: number;
  endsAt?: number;
  timestamp: number;
}

export interface NotificationData {
  type: string;
  title?: string;
  message?: string;
  priority?: Priority;
  data?: unknown;
  expiresAt?: number;
  escalateAfterMs?: number;
  alertId: string;
  presentation?: Presentation;
}

export interface Presentation {
  sound: boolean;
  toast: boolean;
}

export interface SessionFigures {
  currentPnL?: string;
  totalTrades?: number;
  lossLimitUtilization?: number;
  timeElapsed?: number;
  performanceScore?: number;
  reason?: string;
}

export interface MarketView {
  symbol: string;
  price: string;
  volume: string;
}

/** What the typed events put into a channel of this name; `unknown` elsewhere. */
export type EventOf<C extends string> =
  C extends `user:${string}:orders` ? TradeExecutedData | OrderUpdateData
  : C extends `strategy:${string}:orders` ? OrderUpdateData
  : C extends `user:${string}:positions` ? PositionUpdateData
  : C extends `session:${string}` ? SessionStartedData | SessionStatusData | SessionCompletedData | AlgorithmDecisionData | TradeExecutedData | RiskAlertData
  : C extends `sessions:${string}` ? SessionStartedData | SessionStatusData | SessionCompletedData
  : C extends `strategy:${string}` ? StrategyUpdateData
  : C extends `user:${string}` ? RiskAlertData | EmergencyStopData | NotificationData
  : C extends `prices:${string}` ? MarketDataData
  : C extends `volatility:${string}` ? VolatilityAlertData
  : C extends "orders" ? OrderUpdateData
  : C extends "positions" ? PositionUpdateData
  : C extends "strategies" ? StrategyUpdateData
  : C extends "system" ? SystemNotificationData
  : unknown;
