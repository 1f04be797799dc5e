-- Which replicas could take over from this server: those that follow it, and those that did until a moment ago. One that has
-- just gone may have gone because it is promoted, while nobody has told this server yet.
--
-- Like the run id this is the process's own memory. All nodes ask each second; time counts in such seconds, so that a server
-- that stood still, which is when another one is promoted, has forgotten nothing when it goes on.

-- How many seconds a replica that has gone is counted. From a promotion on, Sentinels need about one to notice it, and another
-- one to take the other replicas away from the old master.
local GONE_TICKS = 10
-- Seconds without a confirmation after which a replica is no candidate: Sentinels take none that was silent for five.
local LAG_MAX = 10

local ticks, ticked = 0, 0
-- By address, the tick in which it followed last.
local followed = {}

-- Answers how many there are.
local function replicas()
  local now = now_ms()
  if math.abs(now - ticked) >= 1000 then
    ticks, ticked = ticks + 1, now
  end
  local info = redis.call('INFO', 'replication')
  for address, lag in string.gmatch(info, 'slave%d+:(ip=[^,]*,port=%d+),state=online,offset=%d+,lag=(%d+)') do
    if tonumber(lag) <= LAG_MAX then
      followed[address] = ticks
    end
  end
  local count = 0
  for address, tick in pairs(followed) do
    if ticks - tick >= GONE_TICKS then
      followed[address] = nil
    else
      count = count + 1
    end
  end
  return count
end

redis.register_function(PREFIX .. 'replicas', replicas)
