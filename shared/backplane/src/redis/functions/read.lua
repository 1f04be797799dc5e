-- Reading: every answer carries the newest position, so each passes the numbering's fence and is no read-only function.

-- Keys: meta and stream of each channel. Arguments: the numbering's time to live of each.
local function tops(keys, args)
  local positions = {}
  for i = 1, #args do
    positions[i] = read_top(keys[2 * i - 1], keys[2 * i], args[i])
  end
  return positions
end

-- Keys: meta, stream. Arguments: time to live, epoch and offset after which (or '', ''), limit, '1' for newest first.
-- Only messages of this epoch: those of an earlier one may have holes that nobody can see any more.
local function history(keys, args)
  local meta, stream = unpack(keys)
  local ttl, since_epoch, since_offset, limit, reverse = unpack(args)
  local top, epoch = read_top(meta, stream, ttl)
  local exclusive = since_epoch == epoch and '(' .. since_epoch .. '-' .. since_offset or nil
  local entries
  if reverse == '1' then
    entries = redis.call('XREVRANGE', stream, exclusive or epoch, epoch, 'COUNT', limit)
  else
    entries = redis.call('XRANGE', stream, exclusive or epoch, epoch, 'COUNT', limit)
  end
  return { top, entries }
end

-- Keys: meta, values. Argument: time to live.
local function snapshot(keys, args)
  return { read_top(keys[1], nil, args[1]), redis.call('HGETALL', keys[2]) }
end

redis.register_function(PREFIX .. 'tops', tops)
redis.register_function(PREFIX .. 'history', history)
redis.register_function(PREFIX .. 'snapshot', snapshot)
