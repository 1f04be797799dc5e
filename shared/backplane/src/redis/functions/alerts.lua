-- Alerts: what is known of each, which are overdue, and who escalates them.
--
-- An alert is a hash: position, delivered, escalate (its deadline, or 0), acknowledged, attempts, escalated; while it may
-- have to be escalated also its envelope, and ttl where it is kept no longer than that. Beside a partition's alerts lie
-- two sorted sets: `due` holds the ids of those with a deadline by the time from which one may take them, `open` every
-- unacknowledged critical message by the time of its publish.

-- How long an alert's state can be asked for after it was settled, seconds.
local SETTLED_TTL = 86400
-- Expired messages that one look at `open` clears away at most.
local SWEEP_MAX = 100

local function open_name(critical, position)
  return critical .. ' ' .. position
end

local function await_acknowledgement(open, critical, position)
  redis.call('ZADD', open, decimal(now_ms()), open_name(critical, position))
end

-- `ttl` is nil or false for an alert that is kept until it is settled. One with a deadline is kept until then, too.
local function track(alert, due, id, position, deadline, envelope, ttl)
  redis.call('HSET', alert, 'position', position, 'delivered', 0, 'escalate', deadline)
  if tonumber(deadline) > 0 then
    redis.call('HSET', alert, 'envelope', envelope)
    redis.call('ZADD', due, deadline, id)
    if ttl then
      redis.call('HSET', alert, 'ttl', ttl)
    end
  elseif ttl then
    redis.call('EXPIRE', alert, ttl)
  end
end

local function settle(alerts, id, due)
  local alert = alerts .. id
  if redis.call('EXISTS', alert) == 1 then
    redis.call('HSETNX', alert, 'acknowledged', decimal(now_ms()))
    redis.call('HDEL', alert, 'envelope')
    redis.call('EXPIRE', alert, SETTLED_TTL)
  end
  redis.call('ZREM', due, id)
end

-- The age in milliseconds of the oldest critical message that is owed, or -1. What expired is forgotten on the way.
local function oldest_open(open, alerts, now)
  for _ = 1, SWEEP_MAX do
    local first = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')
    if not first[1] then
      return -1
    end
    local critical, position = string.match(first[1], '^(.*) (%S+)$')
    local owed = redis.call('HGET', critical, position)
    local expires, id
    if owed then
      expires, id = string.match(owed, '^(%d+) (%S+)')
      if expires == '0' or tonumber(expires) > now then
        return math.max(now - tonumber(first[2]), 0)
      end
      redis.call('HDEL', critical, position)
      redis.call('EXPIRE', alerts .. id, SETTLED_TTL)
    end
    redis.call('ZREM', open, first[1])
  end
  return -1
end

-- Keys: due, open. Arguments: an alert key up to its id (the same hash tag), most, how long a claim lasts in milliseconds.
-- Answers the claimed ones, how many more are overdue, the age of the oldest unacknowledged message, and how many of these there are. A claim moves the
-- alert's time: until then nobody else finds it.
local function claim_due(keys, args)
  local due, open = unpack(keys)
  local alerts, most, lease = args[1], tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  local ids = most > 0 and redis.call('ZRANGE', due, '-inf', decimal(now), 'BYSCORE', 'LIMIT', 0, most) or {}
  local claimed = {}
  for _, id in ipairs(ids) do
    local alert = alerts .. id
    local state = redis.call('HMGET', alert, 'envelope', 'position', 'escalate', 'acknowledged')
    if state[1] and not state[4] then
      redis.call('ZADD', due, decimal(now + lease), id)
      local attempt = redis.call('HINCRBY', alert, 'attempts', 1)
      claimed[#claimed + 1] = { id, state[2], state[3], decimal(attempt), state[1] }
    else
      redis.call('ZREM', due, id)
    end
  end
  local oldest = oldest_open(open, alerts, now)
  return { claimed, redis.call('ZCOUNT', due, '-inf', decimal(now)), oldest, redis.call('ZCARD', open) }
end

-- Keys: due, the alert. Arguments: its id, the number of the claim, 'done', 'again' or 'given_up', milliseconds to wait
-- before 'again'. One that was acknowledged meanwhile is not due again; one that another took is left to that one.
local function escalated(keys, args)
  local due, alert = unpack(keys)
  local id, attempt, outcome, wait = unpack(args)
  if outcome == 'again' then
    if redis.call('HGET', alert, 'attempts') == attempt then
      redis.call('ZADD', due, 'XX', decimal(now_ms() + tonumber(wait)), id)
    end
    return
  end
  redis.call('ZREM', due, id)
  if redis.call('EXISTS', alert) == 0 then
    return
  end
  if outcome == 'done' then
    redis.call('HSETNX', alert, 'escalated', decimal(now_ms()))
  end
  redis.call('HDEL', alert, 'envelope')
  local ttl = redis.call('HGET', alert, 'ttl')
  if ttl then
    redis.call('EXPIRE', alert, math.max(tonumber(ttl), SETTLED_TTL))
  end
end

redis.register_function(PREFIX .. 'claim_due', claim_due)
redis.register_function(PREFIX .. 'escalated', escalated)
