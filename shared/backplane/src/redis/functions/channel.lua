-- Numbering: which epoch a channel is in, and how far it has counted.
--
-- meta is a hash: e = epoch, s = newest offset, r = run_id of the server that numbers, x = when the time to live was set
-- again. A server that is not the one which
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

-- Opens the channel's next epoch.
local function begin_epoch(meta, stream, known, ttl)
  local epoch = new_epoch(known, stream)
  redis.call('HSET', meta, 'e', epoch, 'r', this_server(), 's', 0, 'x', 0)
  redis.call('EXPIRE', meta, ttl)
  return epoch
end

-- The channel's epoch (text) and newest offset (number); opens an epoch where there is none of this server.
local function open_epoch(meta, stream, ttl)
  local state = redis.call('HMGET', meta, 'e', 'r', 's')
  if state[1] and state[2] == this_server() then
    return state[1], tonumber(state[3])
  end
  return begin_epoch(meta, stream, state[1], ttl), 0
end

-- Takes the next position. Answers also its offset, and whether what is kept of the channel must be given its time to live again: once in
-- an eighth of `ttl` (seconds), told by x, when that last happened by the publisher's clock; an EXPIRE costs as much as a
-- broadcast. A clock that jumps only makes it happen sooner.
local function next_position(meta, stream, meta_ttl, ttl, now)
  local state = redis.call('HMGET', meta, 'e', 'r', 'x')
  local epoch, refreshed = state[1], tonumber(state[3] or 0)
  if not epoch or state[2] ~= this_server() then
    epoch, refreshed = begin_epoch(meta, stream, epoch, meta_ttl), 0
  end
  local offset = redis.call('HINCRBY', meta, 's', 1)
  local position = epoch .. '-' .. offset
  if math.abs(now - refreshed) < ttl * 125 then
    return position, offset, false
  end
  redis.call('HSET', meta, 'x', decimal(now))
  redis.call('EXPIRE', meta, meta_ttl)
  return position, offset, true
end

-- What is kept lives at least `ttl` seconds after its last publish, and an eighth longer at most.
local function keep(key, ttl)
  redis.call('PEXPIRE', key, ttl * 1125)
end

-- Raises the channel's newest fence to `fence` ('' for a writer without one), or answers why not. f in meta.
local function fenced(meta, fence, meta_ttl)
  if fence == '' then
    return nil
  end
  local newest = redis.call('HGET', meta, 'f')
  if newest and tonumber(newest) >= tonumber(fence) then
    return newest ~= fence and '!fenced ' .. newest or nil
  end
  redis.call('HSET', meta, 'f', fence)
  redis.call('EXPIRE', meta, meta_ttl)
end

-- Reading keeps a quiet channel's numbering alive, with a write only in the second half of its time.
local function read_top(meta, stream, ttl)
  local epoch, offset = open_epoch(meta, stream, ttl)
  if redis.call('TTL', meta) * 2 < tonumber(ttl) then
    redis.call('EXPIRE', meta, ttl)
  end
  return epoch .. '-' .. decimal(offset), epoch
end
