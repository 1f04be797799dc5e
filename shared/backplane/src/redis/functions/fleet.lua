-- The nodes: orders to all of them and their leases.

-- Expired orders that one call clears away.
local CLEARED_MAX = 1000

-- Keys: the sticky orders by expiry, the same by number, the numbering. Arguments: how to broadcast, where, the order,
-- until when it sticks (or ''), how many may. At that bound a new one is refused: to forget a revocation would open a door.
local function control(keys, args)
  local sticky, log, numbering = unpack(keys)
  local broadcast, channel, order, sticky_until, most = unpack(args)
  local now = decimal(now_ms())
  for _, expired in ipairs(redis.call('ZRANGE', sticky, '-inf', now, 'BYSCORE', 'LIMIT', 0, CLEARED_MAX)) do
    redis.call('ZREM', sticky, expired)
    redis.call('ZREM', log, expired)
  end
  if sticky_until ~= '' then
    if redis.call('ZCARD', sticky) >= tonumber(most) and not redis.call('ZSCORE', sticky, order) then
      return 'full'
    end
    redis.call('ZADD', sticky, 'GT', sticky_until, order)
    redis.call('HSETNX', numbering, 'born', now)
    redis.call('ZADD', log, redis.call('HINCRBY', numbering, 'n', 1), order)
  end
  redis.call(broadcast, channel, order)
  return 'ok'
end

-- Keys: the sticky orders by expiry.
local function controls(keys)
  return redis.call('ZRANGE', keys[1], '(' .. decimal(now_ms()), '+inf', 'BYSCORE')
end

-- Keys: as of `control`. Argument: where the reader stands ('' at first). Answers where it stands then, and the orders that
-- came since: all of them to a reader whose mark is another server's or of a numbering that was lost.
local function controls_since(keys, args)
  local sticky, log, numbering = unpack(keys)
  local state = redis.call('HMGET', numbering, 'born', 'n')
  local numbered_by = this_server() .. ':' .. (state[1] or '0')
  local newest = tonumber(state[2] or 0)
  local known_by, known = string.match(args[1], '^(%x+:%d+):(%d+)$')
  local mark = numbered_by .. ':' .. decimal(newest)
  if known_by == numbered_by and tonumber(known) <= newest then
    return { mark, redis.call('ZRANGE', log, '(' .. known, '+inf', 'BYSCORE') }
  end
  return { mark, redis.call('ZRANGE', sticky, '(' .. decimal(now_ms()), '+inf', 'BYSCORE') }
end

-- Keys: reports by node, leases by expiry. Arguments: node, report, how long the lease lasts in milliseconds, most nodes.
local function report(keys, args)
  local reports, leases = unpack(keys)
  local now = now_ms()
  local dead = redis.call('ZRANGE', leases, '-inf', decimal(now), 'BYSCORE')
  for _, node in ipairs(dead) do
    redis.call('HDEL', reports, node)
    redis.call('ZREM', leases, node)
  end
  if redis.call('ZCARD', leases) >= tonumber(args[4]) and not redis.call('ZSCORE', leases, args[1]) then
    return 'full'
  end
  redis.call('HSET', reports, args[1], args[2])
  redis.call('ZADD', leases, decimal(now + tonumber(args[3])), args[1])
  return 'ok'
end

local function live(leases)
  return redis.call('ZRANGE', leases, '(' .. decimal(now_ms()), '+inf', 'BYSCORE')
end

-- Keys: reports by node, leases by expiry. Answers the reports of live nodes.
local function nodes(keys)
  local found = {}
  for _, node in ipairs(live(keys[2])) do
    local text = redis.call('HGET', keys[1], node)
    if text then
      found[#found + 1] = text
    end
  end
  return found
end

-- Keys: leases by expiry. Arguments: how long a lease lasts in milliseconds, nodes that gave a sign of life. Answers the
-- names of live nodes.
local function live_nodes(keys, args)
  for i = 2, #args do
    redis.call('ZADD', keys[1], decimal(now_ms() + tonumber(args[1])), args[i])
  end
  return live(keys[1])
end

redis.register_function(PREFIX .. 'control', control)
redis.register_function(PREFIX .. 'controls', controls)
redis.register_function(PREFIX .. 'controls_since', controls_since)
redis.register_function(PREFIX .. 'report', report)
redis.register_function(PREFIX .. 'nodes', nodes)
redis.register_function(PREFIX .. 'live_nodes', live_nodes)
