-- Who is where. Of a channel there are: a sorted set, user -> on how many nodes; a set of the nodes that have someone there;
-- and for each of those a set of its users. So a count is one ZCARD however many are there, and a dead node's users are
-- found without reading anybody else's. All calls can be repeated.

-- Users more than `most` in a channel: their coming and going is told to nobody, for everyone would be told of everyone.
local function tell(users, most, broadcast, channel, sign, user)
  if redis.call('ZCARD', users) <= tonumber(most) then
    redis.call(broadcast, channel, 'p' .. sign .. user)
  end
end

local function leave(users, most, broadcast, channel, user)
  if tonumber(redis.call('ZINCRBY', users, -1, user)) <= 0 then
    tell(users, most, broadcast, channel, '-', user)
    redis.call('ZREM', users, user)
  end
end

-- Keys: users, nodes, users on the node. Arguments: how to broadcast, where, up to how many users, time to live, node, then
-- users and '1' if they are on the node or '0'.
local function presence_set(keys, args)
  local users, nodes, here = unpack(keys)
  local broadcast, channel, most, ttl, node = unpack(args)
  for i = 6, #args, 2 do
    local user = args[i]
    if args[i + 1] == '0' then
      if redis.call('SREM', here, user) == 1 then
        leave(users, most, broadcast, channel, user)
      end
    elseif redis.call('SADD', here, user) == 1 and tonumber(redis.call('ZINCRBY', users, 1, user)) == 1 then
      tell(users, most, broadcast, channel, '+', user)
    end
  end
  if redis.call('SCARD', here) > 0 then
    redis.call('SADD', nodes, node)
  else
    redis.call('SREM', nodes, node)
  end
  for i = 1, #keys do
    redis.call('EXPIRE', keys[i], ttl)
  end
end

-- Keys: users, nodes, users on the dead node. Arguments: how to broadcast, where, up to how many users, how many to remove
-- at most, node. Answers how many were removed: fewer than asked for when nobody is left on it.
local function presence_sweep(keys, args)
  local users, nodes, there = unpack(keys)
  local broadcast, channel, most, slice, node = unpack(args)
  local gone = redis.call('SPOP', there, slice)
  for _, user in ipairs(gone) do
    leave(users, most, broadcast, channel, user)
  end
  if redis.call('EXISTS', there) == 0 then
    redis.call('SREM', nodes, node)
  end
  return #gone
end

-- Keys: users, nodes, then users on each node that is asked about. Arguments: time to live. Answers the nodes that have
-- someone there, then how many the asked ones have.
local function presence_nodes(keys, args)
  for i = 1, #keys do
    redis.call('EXPIRE', keys[i], args[1])
  end
  local counts = {}
  for i = 3, #keys do
    counts[i - 2] = redis.call('SCARD', keys[i])
  end
  return { redis.call('SMEMBERS', keys[2]), counts }
end

-- Keys: users. Arguments: how many to list. Answers how many there are, and that many of them.
local function presence_list(keys, args)
  return { redis.call('ZCARD', keys[1]), redis.call('ZRANGE', keys[1], 0, args[1] - 1) }
end

redis.register_function(PREFIX .. 'presence_set', presence_set)
redis.register_function(PREFIX .. 'presence_sweep', presence_sweep)
redis.register_function(PREFIX .. 'presence_nodes', presence_nodes)
redis.register_function(PREFIX .. 'presence_list', presence_list)
