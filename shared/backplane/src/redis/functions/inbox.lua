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

-- Keys: meta, stream, ordinary, critical, cursor. Arguments: time to live, most ordinary ones.
local function inbox(keys, args)
  local meta, stream, ordinary, critical, cursor = unpack(keys)
  local top = read_top(meta, stream, args[1])
  local read = redis.call('GET', cursor)
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

-- Keys: stream, ordinary, critical, cursor, due, open. Arguments: an alert key up to its id (the same hash tag), then positions.
local function acknowledge(keys, args)
  local stream, ordinary, critical, cursor, due, open = unpack(keys)
  local alerts = args[1]
  local before = redis.call('GET', cursor)
  local after = before
  for i = 2, #args do
    local position = args[i]
    local owed = redis.call('HGET', critical, position)
    if owed then
      redis.call('HDEL', critical, position)
      redis.call('ZREM', open, open_name(critical, position))
      settle(alerts, string.match(owed, '^%d+ (%S+)'), due)
    elseif (not after or is_later(position, after)) and is_ordinary(position, ordinary, stream) then
      after = position
    end
  end
  if after == before then
    return
  end
  for _, entry in ipairs(redis.call('XRANGE', ordinary, before and '(' .. before or '-', after)) do
    local alert = alert_of(entry)
    if alert then
      settle(alerts, alert, due)
    end
  end
  -- As long as what it points into.
  redis.call('SET', cursor, after, 'EX', math.max(redis.call('TTL', ordinary), SETTLED_TTL))
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
