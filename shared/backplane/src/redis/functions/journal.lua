-- Journals: records in a stream each, numbered 0-1, 0-2, …, never trimmed; d = the record, f = the fence it was written under. The
-- newest fence lies beside it, and a partition's names of a kind in a sorted set whose members have all the score 0. None expires, and
-- none knows of epochs.

local function refused_append(meta, fence)
  local newest = redis.call('GET', meta)
  return newest and tonumber(newest) > tonumber(fence) and '!fenced ' .. newest
end

-- Are the records of this very append where they would go?
local function has_records(records, args, expected, count)
  local entries = redis.call('XRANGE', records, '(0-' .. decimal(expected), '+', 'COUNT', count)
  if #entries < count then
    return false
  end
  for i = 1, count do
    local fields = entries[i][2]
    if fields[2] ~= args[5 + i] or fields[4] ~= args[1] then
      return false
    end
  end
  return true
end

-- Keys: the records, the fence, the partition's names. Arguments: the fence, the expected length, the name's id, most records, most
-- names, then the records. Answers the new length, or '!' and why nothing was appended.
local function append_journal(keys, args)
  local records, meta, names = keys[1], keys[2], keys[3]
  local fence, expected, id, count = args[1], tonumber(args[2]), args[3], #args - 5
  if has_records(records, args, expected, count) then
    -- For a WAIT that follows: a write of this connection.
    redis.call('SET', meta, redis.call('GET', meta))
    return decimal(expected + count)
  end
  local refusal = refused_append(meta, fence)
  if refusal then
    return refusal
  end
  local length = redis.call('XLEN', records)
  if length ~= expected then
    return '!moved ' .. decimal(length)
  elseif length + count > tonumber(args[4]) then
    return '!journal_full'
  elseif length == 0 and redis.call('ZCARD', names) >= tonumber(args[5]) then
    return '!full'
  end
  for i = 1, count do
    redis.call('XADD', records, '0-' .. decimal(length + i), 'd', args[5 + i], 'f', fence)
  end
  redis.call('SET', meta, fence)
  if length == 0 then
    redis.call('ZADD', names, 0, id)
  end
  return decimal(length + count)
end

-- Keys: the records, the fence. Argument: the fence. Answers the length.
local function fence_journal(keys, args)
  local refusal = refused_append(keys[2], args[1])
  if refusal then
    return refusal
  end
  redis.call('SET', keys[2], args[1])
  return decimal(redis.call('XLEN', keys[1]))
end

-- Keys: the records. Arguments: after which, how many. Answers the length and the records.
local function read_journal(keys, args)
  local found = {}
  if args[2] ~= '0' then
    for i, entry in ipairs(redis.call('XRANGE', keys[1], '(0-' .. args[1], '+', 'COUNT', args[2])) do
      found[i] = entry[2][2]
    end
  end
  return { decimal(redis.call('XLEN', keys[1])), found }
end

-- Keys: the partition's names. Arguments: after which ('' for all), how many, the records' key up to the id. Answers ids and lengths in turn.
local function list_journals(keys, args)
  local from = args[1] == '' and '-' or '(' .. args[1]
  local found = {}
  for i, id in ipairs(redis.call('ZRANGE', keys[1], from, '+', 'BYLEX', 'LIMIT', 0, args[2])) do
    found[2 * i - 1] = id
    found[2 * i] = decimal(redis.call('XLEN', args[3] .. id))
  end
  return found
end

redis.register_function(PREFIX .. 'append_journal', append_journal)
redis.register_function(PREFIX .. 'fence_journal', fence_journal)
redis.register_function(PREFIX .. 'read_journal', read_journal)
redis.register_function(PREFIX .. 'list_journals', list_journals)
