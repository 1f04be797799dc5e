-- Numbering: which epoch a channel is in, and how far it has counted.
--
-- meta is a hash: e = epoch, s = newest offset, r = run_id of the server that numbers. A server that is not the one which
-- numbered last (a promoted replica, a restart) may have lost the last writes and must not hand out their offsets again:
-- it opens a new epoch. The run id is an upvalue, so it is neither stored nor replicated with the library.

local run_id

local function this_server()
  if not run_id then
    run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  end
  return run_id
end

-- Doubles are exact up to 2^53: enough for milliseconds and offsets. tostring would print 1.7636832e+12.
local function decimal(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A new epoch is greater than every epoch whose traces are left, whatever the clock says.
local function new_epoch(known, stream)
  local epoch = now_ms()
  if known then
    epoch = math.max(epoch, tonumber(known) + 1)
  end
  local newest = stream and redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if newest then
    epoch = math.max(epoch, tonumber(string.match(newest[1], '^%d+')) + 1)
  end
  return decimal(epoch)
end

-- The channel's epoch (text) and newest offset (number); opens an epoch where there is none of this server.
local function open_epoch(meta, stream, ttl)
  local state = redis.call('HMGET', meta, 'e', 'r', 's')
  if state[1] and state[2] == this_server() then
    return state[1], tonumber(state[3])
  end
  local epoch = new_epoch(state[1], stream)
  redis.call('HSET', meta, 'e', epoch, 'r', this_server(), 's', 0)
  redis.call('EXPIRE', meta, ttl)
  return epoch, 0
end

-- Takes the next position.
local function next_position(meta, stream, ttl)
  local epoch = open_epoch(meta, stream, ttl)
  local offset = redis.call('HINCRBY', meta, 's', 1)
  redis.call('EXPIRE', meta, ttl)
  return epoch .. '-' .. decimal(offset)
end

-- Reading keeps a quiet channel's numbering alive, with a write only in the second half of its time.
local function read_top(meta, stream, ttl)
  local epoch, offset = open_epoch(meta, stream, ttl)
  if redis.call('TTL', meta) * 2 < tonumber(ttl) then
    redis.call('EXPIRE', meta, ttl)
  end
  return epoch .. '-' .. decimal(offset), epoch
end
