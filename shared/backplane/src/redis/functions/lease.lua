-- Leases: a hash each, h = holder, f = fence, u = until when by this server's clock. A fence outlives its lease by a day.
-- It is never below the clock, so that it grows also where a failover lost the one before.

local LEASE_KEPT_MS = 86400000

-- Keys: the lease. Arguments: who wants it, for how many milliseconds. Answers the fence, or '', who has it and for how long.
local function take_lease(keys, args)
  local lease, holder, ttl = keys[1], args[1], tonumber(args[2])
  local now = now_ms()
  local state = redis.call('HMGET', lease, 'h', 'f', 'u')
  local is_held = state[1] and tonumber(state[3]) > now
  if is_held and state[1] ~= holder then
    return { '', state[1], decimal(tonumber(state[3]) - now) }
  end
  local fence = is_held and state[2] or decimal(math.max(now, tonumber(state[2] or 0) + 1))
  redis.call('HSET', lease, 'h', holder, 'f', fence, 'u', decimal(now + ttl))
  redis.call('PEXPIRE', lease, decimal(ttl + LEASE_KEPT_MS))
  return { fence, '', '' }
end

-- Keys: the lease. Arguments: the fence it was taken under, for how many more milliseconds (0 gives it back). Answers whether it
-- was still held under that fence.
local function renew_lease(keys, args)
  local lease, fence, ttl = keys[1], args[1], tonumber(args[2])
  local now = now_ms()
  local state = redis.call('HMGET', lease, 'f', 'u')
  if state[1] ~= fence or tonumber(state[2]) <= now then
    return 0
  end
  redis.call('HSET', lease, 'u', decimal(now + ttl))
  redis.call('PEXPIRE', lease, decimal(ttl + LEASE_KEPT_MS))
  return 1
end

-- Keys: meta, stream. Arguments: the fence, how long a numbering is kept, '1' where there is one. Answers the newest position.
local function fence(keys, args)
  local refusal = fenced(keys[1], args[1], args[2])
  if refusal then
    return refusal
  elseif args[3] ~= '1' then
    return '0-0'
  end
  return (read_top(keys[1], keys[2], args[2]))
end

redis.register_function(PREFIX .. 'take_lease', take_lease)
redis.register_function(PREFIX .. 'renew_lease', renew_lease)
redis.register_function(PREFIX .. 'fence', fence)
