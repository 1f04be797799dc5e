-- The nodes: orders to all of them, their leases, and who is connected where.

-- Keys: the sticky orders by expiry. Arguments: how to broadcast, where, the order, until when it sticks (or ''), how
-- many may. At that bound a new one is refused: to forget a revocation would open a door.
local function control(keys, args)
  local broadcast, channel, order, sticky_until, most = unpack(args)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', decimal(now_ms()))
  if sticky_until ~= '' then
    if redis.call('ZCARD', keys[1]) >= tonumber(most) and not redis.call('ZSCORE', keys[1], order) then
      return 'full'
    end
    redis.call('ZADD', keys[1], 'GT', sticky_until, order)
  end
  redis.call(broadcast, channel, order)
  return 'ok'
end

-- Keys: the sticky orders by expiry.
local function controls(keys)
  return redis.call('ZRANGE', keys[1], '(' .. decimal(now_ms()), '+inf', 'BYSCORE')
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

-- Presence of a channel is a hash: user -> JSON list of the nodes where that user is. The leases lie in another slot of a
-- cluster, so the caller brings the names of the live nodes. Of a user's nodes, the live ones other than `besides`:
local function live_elsewhere(text, is_live, besides)
  local kept = {}
  if text then
    for _, node in ipairs(cjson.decode(text)) do
      if is_live[node] and node ~= besides then
        kept[#kept + 1] = node
      end
    end
  end
  return kept
end

local function set_of(args, first, count)
  local set = {}
  for i = first, first + count - 1 do
    set[args[i]] = true
  end
  return set
end

-- Keys: presence. Arguments: how to broadcast, where, time to live, node, how many nodes live, their names, then users
-- and '1' if they are on the node or '0'. A statement, not a change: it can be repeated. What a node without a lease
-- states is written down but does not count.
local function presence_set(keys, args)
  local presence = keys[1]
  local broadcast, channel, ttl, node = unpack(args)
  local count = tonumber(args[5])
  local is_live = set_of(args, 6, count)
  for i = 6 + count, #args, 2 do
    local user, here = args[i], args[i + 1] == '1'
    local text = redis.call('HGET', presence, user)
    local was = #live_elsewhere(text, is_live, nil) > 0
    local nodes = live_elsewhere(text, is_live, node)
    local is = #nodes > 0 or (here and is_live[node])
    if here then
      nodes[#nodes + 1] = node
    end
    if #nodes > 0 then
      redis.call('HSET', presence, user, cjson.encode(nodes))
    elseif text then
      redis.call('HDEL', presence, user)
    end
    if was ~= (is or false) then
      redis.call(broadcast, channel, 'p' .. (was and '-' or '+') .. user)
    end
  end
  redis.call('EXPIRE', presence, ttl)
end

-- Keys: presence. Arguments: how to broadcast, where, time to live, how many nodes live, their names. Removes who was only
-- on dead nodes, says so, and answers who is left and on which nodes (as JSON).
local function presence_sweep(keys, args)
  local presence = keys[1]
  local broadcast, channel, ttl = unpack(args)
  local is_live = set_of(args, 5, tonumber(args[4]))
  local all = redis.call('HGETALL', presence)
  local users = {}
  for i = 1, #all, 2 do
    local user = all[i]
    if #live_elsewhere(all[i + 1], is_live, nil) > 0 then
      users[#users + 1] = user
      users[#users + 1] = all[i + 1]
    else
      redis.call('HDEL', presence, user)
      redis.call(broadcast, channel, 'p-' .. user)
    end
  end
  redis.call('EXPIRE', presence, ttl)
  return users
end

redis.register_function(PREFIX .. 'control', control)
redis.register_function(PREFIX .. 'controls', controls)
redis.register_function(PREFIX .. 'report', report)
redis.register_function(PREFIX .. 'nodes', nodes)
redis.register_function(PREFIX .. 'live_nodes', live_nodes)
redis.register_function(PREFIX .. 'presence_set', presence_set)
redis.register_function(PREFIX .. 'presence_sweep', presence_sweep)
