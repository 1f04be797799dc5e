-- Publishing: each function is one atomic step from the idempotency key to the broadcast.
--
-- The first keys are always meta, stream, seen (idempotency), owner; the first arguments always:
local BROADCAST, CHANNEL, ENVELOPE, META_TTL, TTL, COUNT, SEEN_TTL, OWNER, OWNER_TTL = 1, 2, 3, 4, 5, 6, 7, 8, 9

-- The first publish's position under this idempotency key. It is written again, so that a WAIT after a repeated publish
-- has a write of this connection to wait for.
local function seen_before(seen, args)
  if args[SEEN_TTL] == '' then
    return nil
  end
  local first = redis.call('GET', seen)
  if first then
    redis.call('SET', seen, first, 'KEEPTTL')
  end
  return first
end

local function remember(seen, owner, args, position)
  if args[SEEN_TTL] ~= '' then
    redis.call('SET', seen, position, 'EX', args[SEEN_TTL])
  end
  if args[OWNER] ~= '' then
    redis.call('SET', owner, args[OWNER], 'EX', args[OWNER_TTL])
  end
end

local function broadcast(args, position)
  redis.call(args[BROADCAST], args[CHANNEL], 'm' .. position .. ' ' .. args[ENVELOPE])
end

local function append(stream, args, position, ...)
  redis.call('XADD', stream, 'MAXLEN', '=', args[COUNT], position, 'd', args[ENVELOPE], ...)
  redis.call('EXPIRE', stream, args[TTL])
end

-- Neither numbered nor kept.
local function publish_live(keys, args)
  local _, _, seen, owner = unpack(keys)
  if seen_before(seen, args) then
    return { 'duplicate', '' }
  end
  remember(seen, owner, args, '')
  broadcast(args, '')
  return { 'ok', '' }
end

-- Kept in a stream.
local function publish_log(keys, args)
  local meta, stream, seen, owner = unpack(keys)
  local first = seen_before(seen, args)
  if first then
    return { 'duplicate', first }
  end
  local position = next_position(meta, stream, args[META_TTL])
  append(stream, args, position)
  remember(seen, owner, args, position)
  broadcast(args, position)
  return { 'ok', position }
end

-- A bounded hash whose values begin with "<expiry, or 0> ": has it room, expired ones swept out if need be?
local function has_room(hash, max)
  if redis.call('HLEN', hash) < tonumber(max) then
    return true
  end
  local now = now_ms()
  local all = redis.call('HGETALL', hash)
  local room = false
  for i = 1, #all, 2 do
    local expires = tonumber(string.match(all[i + 1], '^%d+'))
    if expires > 0 and expires <= now then
      redis.call('HDEL', hash, all[i])
      room = true
    end
  end
  return room
end

-- The newest value of each key, "<expiry> <position> <envelope>". Further keys: values. Further arguments: key, expiry, most keys.
local function publish_latest(keys, args)
  local meta, _, seen, owner, values = unpack(keys)
  local key, expires, most = args[10], args[11], args[12]
  local first = seen_before(seen, args)
  if first then
    return { 'duplicate', first }
  end
  if redis.call('HEXISTS', values, key) == 0 and not has_room(values, most) then
    return { 'too_many_keys', '' }
  end
  local position = next_position(meta, nil, args[META_TTL])
  redis.call('HSET', values, key, expires .. ' ' .. position .. ' ' .. args[ENVELOPE])
  redis.call('EXPIRE', values, args[TTL])
  remember(seen, owner, args, position)
  broadcast(args, position)
  return { 'ok', position }
end

-- Kept in a stream for recovery and beside it until the user has it: a critical message in a hash, as
-- "<expiry> <alert id or -> <envelope>" by position and without a time to live; another among the newest ordinary ones.
-- Neither knows of epochs: a debt outlives the numbering it was made under.
-- Further keys: ordinary, critical, cursor, alert, due, open. Further arguments: expiry, '1' if critical, most critical ones, most
-- ordinary ones, alert id, when to escalate (or 0).
local function publish_inbox(keys, args)
  local meta, stream, seen, owner, ordinary, critical, cursor, alert, due, open = unpack(keys)
  local expires, is_critical, most_critical, most_ordinary, alert_id, escalate = unpack(args, 10, 15)
  local first = seen_before(seen, args)
  if first then
    return { 'duplicate', first }
  end
  if is_critical == '1' and not has_room(critical, most_critical) then
    return { 'inbox_full', '' }
  end
  local position = next_position(meta, stream, args[META_TTL])
  if is_critical == '1' then
    append(stream, args, position, 'critical', '1')
    local named = alert_id ~= '' and alert_id or '-'
    redis.call('HSET', critical, position, expires .. ' ' .. named .. ' ' .. args[ENVELOPE])
    await_acknowledgement(open, critical, position)
  else
    append(stream, args, position)
    redis.call('XADD', ordinary, 'MAXLEN', '=', most_ordinary, position, 'd', args[ENVELOPE], 'a', alert_id)
    redis.call('EXPIRE', ordinary, args[TTL])
    redis.call('EXPIRE', cursor, args[META_TTL])
  end
  if alert_id ~= '' then
    track(alert, due, alert_id, position, escalate, args[ENVELOPE], is_critical ~= '1' and args[TTL])
  end
  remember(seen, owner, args, position)
  broadcast(args, position)
  return { 'ok', position }
end

redis.register_function(PREFIX .. 'publish_live', publish_live)
redis.register_function(PREFIX .. 'publish_log', publish_log)
redis.register_function(PREFIX .. 'publish_latest', publish_latest)
redis.register_function(PREFIX .. 'publish_inbox', publish_inbox)
