-- Publishing: each function is one atomic step from the message's identity to the broadcast.
--
-- Keys: meta, what stores the messages, the function's own; then that of the idempotency key and that of the owner, each
-- only where there is one. The first arguments are always:
local BROADCAST, CHANNEL, ENVELOPE, NOW, META_TTL, TTL, COUNT, IDENTITY, OWNER, FENCE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
-- IDENTITY is 'key' for a message with an idempotency key. Any other has a token, a number below 2^53 by chance, and
-- 'again <ms> <token>' says that it was sent before, at most so long ago, to this very process, and that no answer came.
--
-- Answers: the position ('' where there is none), '=' and the position of the first publish of a repeated message, or '!'
-- and why nothing was published.

-- Tokens in each of two generations. They lie in the process's memory, which costs a tenth of a key with a time to live, and
-- are lost with it: a publisher asks only the process that it sent the message to.
local TOKENS_MAX = 16384
-- Streams of at least so many messages are trimmed by whole nodes of 100: they keep a little more.
local ROUGHLY = 200

-- Offsets by token, and since when the older generation knows all. Numbers only: texts would double the cost of a publish,
-- as the collector visits each again and again. Nothing is deleted: Lua would count a table full of holes at each insertion.
local young, old, count = {}, {}, 0
local young_since, old_since

local function keep_token(token, offset)
  if count % TOKENS_MAX == 0 then
    old, old_since = young, young_since
    young, young_since = {}, now_ms()
  end
  count = count + 1
  young[token] = offset
end

local function is_again(identity)
  return string.byte(identity) == 97
end

-- Was a message with this token published before? Its position, nothing, or '!' if that is not known any more.
local function published_before(meta, identity)
  local age, token = string.match(identity, '^again (%d+) (%d+)$')
  local offset = young[tonumber(token)] or old[tonumber(token)]
  if offset == 0 then
    return ''
  elseif offset then
    local epoch = redis.call('HGET', meta, 'e')
    -- For a WAIT that follows: a write of this connection.
    redis.call('HSET', meta, 'r', this_server())
    return epoch and epoch .. '-' .. offset or '!'
  end
  local since = old_since or young_since
  if not since or since > now_ms() - tonumber(age) then
    return '!'
  end
end

-- The answer to a message that is not to be published again; nothing for a new one.
local function answered(keys, args)
  local identity, first = args[IDENTITY], nil
  if identity == 'key' then
    local seen = args[OWNER] == '' and keys[#keys] or keys[#keys - 1]
    first = redis.call('GET', seen)
    if first then
      -- Written again, so that a WAIT after a repeated publish has a write of this connection to wait for.
      redis.call('SET', seen, first, 'KEEPTTL')
    end
  elseif is_again(identity) then
    first = published_before(keys[1], identity)
    if first == '!' then
      return '!forgotten'
    end
  end
  return first and '=' .. first or fenced(keys[1], args[FENCE], args[META_TTL])
end

-- `offset` is 0 for a message without a position.
local function remember(keys, args, position, offset)
  local identity = args[IDENTITY]
  local has_owner = args[OWNER] ~= ''
  if identity == 'key' then
    redis.call('SET', has_owner and keys[#keys - 1] or keys[#keys], position, 'EX', SEEN_TTL)
  else
    keep_token(tonumber(is_again(identity) and string.match(identity, '%d+$') or identity), offset)
  end
  if has_owner then
    redis.call('SET', keys[#keys], args[OWNER], 'EX', OWNER_TTL)
  end
end

-- With the time, for those who want to know where a message's time went.
local function broadcast(args, position)
  local stamp = position .. '@' .. decimal(now_ms())
  redis.call(args[BROADCAST], args[CHANNEL], 'm' .. stamp .. ' ' .. args[ENVELOPE])
end

local function take_position(keys, args, stream)
  return next_position(keys[1], stream, args[META_TTL], tonumber(args[TTL]), tonumber(args[NOW]))
end

local function append(stream, args, position, ...)
  local roughly = tonumber(args[COUNT]) >= ROUGHLY and '~' or '='
  redis.call('XADD', stream, 'MAXLEN', roughly, args[COUNT], position, 'd', args[ENVELOPE], ...)
end

-- Neither numbered nor kept. No key of its own but the first.
local function publish_live(keys, args)
  local answer = answered(keys, args)
  if answer then
    return answer
  end
  remember(keys, args, '', 0)
  broadcast(args, '')
  return ''
end

-- Kept in a stream.
local function publish_log(keys, args)
  local answer = answered(keys, args)
  if answer then
    return answer
  end
  local stream = keys[2]
  local position, offset, refresh = take_position(keys, args, stream)
  append(stream, args, position)
  if refresh then
    keep(stream, args[TTL])
  end
  remember(keys, args, position, offset)
  broadcast(args, position)
  return position
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

-- The newest value of each key, "<expiry> <position> <envelope>", in a hash. Further arguments: key, expiry, most keys.
local function publish_latest(keys, args)
  local values = keys[2]
  local key, expires, most = args[11], args[12], args[13]
  local answer = answered(keys, args)
  if answer then
    return answer
  end
  local is_new = redis.call('HEXISTS', values, key) == 0
  if is_new and not has_room(values, most) then
    return '!too_many_keys'
  end
  local position, offset, refresh = take_position(keys, args, nil)
  redis.call('HSET', values, key, expires .. ' ' .. position .. ' ' .. args[ENVELOPE])
  -- The first key makes the hash, which then has no time to live yet.
  if refresh or is_new then
    keep(values, args[TTL])
  end
  remember(keys, args, position, offset)
  broadcast(args, position)
  return position
end

-- Kept in a stream for recovery and beside it until the user has it: a critical message in a hash, as
-- "<expiry> <alert id or -> <envelope>" by position and without a time to live; another among the newest ordinary ones.
-- Neither knows of epochs: a debt outlives the numbering it was made under.
-- Further keys: ordinary, critical, cursor, alert, due, open, devices. Further arguments: expiry, '1' if critical, most critical ones, most
-- ordinary ones, alert id, when to escalate (or 0).
local function publish_inbox(keys, args)
  local _, stream, ordinary, critical, cursor, alert, due, open, devices = unpack(keys)
  local expires, is_critical, most_critical, most_ordinary, alert_id, escalate = unpack(args, 11, 16)
  local answer = answered(keys, args)
  if answer then
    return answer
  end
  if is_critical == '1' and not has_room(critical, most_critical) then
    return '!inbox_full'
  end
  local position, offset = take_position(keys, args, stream)
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
    redis.call('EXPIRE', devices, args[META_TTL])
  end
  if alert_id ~= '' then
    track(alert, due, alert_id, position, escalate, args[ENVELOPE], is_critical ~= '1' and args[TTL])
  end
  redis.call('EXPIRE', stream, args[TTL])
  remember(keys, args, position, offset)
  broadcast(args, position)
  return position
end

redis.register_function(PREFIX .. 'publish_live', publish_live)
redis.register_function(PREFIX .. 'publish_log', publish_log)
redis.register_function(PREFIX .. 'publish_latest', publish_latest)
redis.register_function(PREFIX .. 'publish_inbox', publish_inbox)
