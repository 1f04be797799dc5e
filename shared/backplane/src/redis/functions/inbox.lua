-- What an inbox owes its user, and what the user settled.

local function parts(position)
  local epoch, offset = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(offset)
end

local function is_later(a, b)
  local a_epoch, a_offset = parts(a)
  local b_epoch, b_offset = parts(b)
  return a_epoch > b_epoch or (a_epoch == b_epoch and a_offset > b_offset)
end

-- The later one of two positions, either of which may be missing.
local function later(a, b)
  if not a or (b and is_later(b, a)) then
    return b or nil
  end
  return a
end

-- How far a device ('' for none) has read: its own cursor, "<position> <when it was moved>", or the user's.
local function read_up_to(cursor, devices, device)
  local own = device ~= '' and redis.call('HGET', devices, device)
  return later(redis.call('GET', cursor), own and string.match(own, '^%S+'))
end

-- Moves a device's cursor. At the bound the one that was moved longest ago is forgotten: that device reads on from the
-- user's cursor.
local function move_device(devices, device, position, most)
  if redis.call('HEXISTS', devices, device) == 0 and redis.call('HLEN', devices) >= tonumber(most) then
    local all = redis.call('HGETALL', devices)
    local oldest, oldest_moved
    for i = 1, #all, 2 do
      local moved = tonumber(string.match(all[i + 1], '%d+$'))
      if not oldest or moved < oldest_moved then
        oldest, oldest_moved = all[i], moved
      end
    end
    redis.call('HDEL', devices, oldest)
  end
  redis.call('HSET', devices, device, position .. ' ' .. decimal(now_ms()))
end

-- Keys: meta, stream, ordinary, critical, cursor, devices. Arguments: time to live, most ordinary ones, device (or '').
local function inbox(keys, args)
  local meta, stream, ordinary, critical, cursor, devices = unpack(keys)
  local top = read_top(meta, stream, args[1])
  local read = read_up_to(cursor, devices, args[3])
  local unread = redis.call('XRANGE', ordinary, read and '(' .. read or '-', '+', 'COUNT', args[2])
  return { top, read or '', redis.call('HGETALL', critical), unread }
end

local function alert_of(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'a' and fields[i + 1] ~= '' then
      return fields[i + 1]
    end
  end
end

-- Names `position` an ordinary message, be it one that is no longer among the newest?
local function is_ordinary(position, ordinary, stream)
  if redis.call('XRANGE', ordinary, position, position)[1] then
    return true
  end
  local stored = redis.call('XRANGE', stream, position, position)[1]
  return stored and #stored[2] == 2
end

-- Keys: stream, ordinary, critical, cursor, devices, due, open. Arguments: an alert key up to its id (the same hash tag),
-- how to broadcast, where, device (or ''), most devices, then positions.
local function acknowledge(keys, args)
  local stream, ordinary, critical, cursor, devices, due, open = unpack(keys)
  local alerts, broadcast_by, live, device, most_devices = unpack(args, 1, 5)
  local before = read_up_to(cursor, devices, device)
  local after = before
  local told = {}
  for i = 6, #args do
    local position = args[i]
    local owed = redis.call('HGET', critical, position)
    if owed then
      redis.call('HDEL', critical, position)
      redis.call('ZREM', open, open_name(critical, position))
      settle(alerts, string.match(owed, '^%d+ (%S+)'), due)
      told[#told + 1] = position
    elseif (not after or is_later(position, after)) and is_ordinary(position, ordinary, stream) then
      after = position
    end
  end
  if after ~= before then
    for _, entry in ipairs(redis.call('XRANGE', ordinary, before and '(' .. before or '-', after)) do
      local alert = alert_of(entry)
      if alert then
        settle(alerts, alert, due)
      end
    end
    -- As long as what it points into.
    local ttl = math.max(redis.call('TTL', ordinary), SETTLED_TTL)
    if device == '' then
      redis.call('SET', cursor, after, 'EX', ttl)
      told[#told + 1] = after
    else
      move_device(devices, device, after, most_devices)
      redis.call('EXPIRE', devices, ttl)
    end
  end
  if told[1] then
    redis.call(broadcast_by, live, 'a' .. table.concat(told, ' '))
  end
end

-- Keys: ordinary, critical. Arguments: an alert key up to its id, then positions.
local function delivered(keys, args)
  local ordinary, critical = unpack(keys)
  for i = 2, #args do
    local owed = redis.call('HGET', critical, args[i])
    local entry = not owed and redis.call('XRANGE', ordinary, args[i], args[i])[1]
    local alert = owed and string.match(owed, '^%d+ (%S+)') or entry and alert_of(entry)
    if alert and redis.call('EXISTS', args[1] .. alert) == 1 then
      redis.call('HINCRBY', args[1] .. alert, 'delivered', 1)
    end
  end
end

-- Keys: the preferences. Arguments: what they were read as (or ''), what they become. Answers 1, or 0 if they are no longer that.
local function swap_preferences(keys, args)
  if (redis.call('GET', keys[1]) or '') ~= args[1] then
    return 0
  end
  redis.call('SET', keys[1], args[2])
  return 1
end

redis.register_function(PREFIX .. 'inbox', inbox)
redis.register_function(PREFIX .. 'acknowledge', acknowledge)
redis.register_function(PREFIX .. 'delivered', delivered)
redis.register_function(PREFIX .. 'swap_preferences', swap_preferences)
