-- Commit results: EXECUTING to COMPLETED, for each job whose fence and worker still hold.
-- ARGV: worker result-ttl, then id, fence, result, duration-ms, …  (four a job)
-- Returns how many were refused as stale; they are counted and change nothing. A repeat of a commit whose reply
-- was lost is no error.

local BUCKETS = {100, 500, 1000, 5000, 10000, 30000, 60000, 300000, 600000}
local worker, ttl = ARGV[1], ARGV[2]
local at = now_ms()
local counters, released, leaving, entering, refused = {}, {}, {}, {}, 0

local function tally(field, by)
  counters[field] = (counters[field] or 0) + by
end

for i = 3, #ARGV, 4 do
  local id, fence, result, duration = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local key = P .. 'j:' .. id
  local f = redis.call('HMGET', key, 'state', 'fence', 'worker', 'queue', 'created', 'task', 'lane', 'parent')
  if f[2] == fence and f[3] == worker and f[1] == 'EXECUTING' then
    local queue = f[4]
    redis.call('HSET', key, 'state', 'COMPLETED', 'ended', int(at))
    redis.call('RPUSH', P .. 'h:' .. id, 'EXECUTING COMPLETED ' .. int(at) .. ' {"seconds":' .. duration / 1000 .. '}')
    if f[8] then
      redis.call('SET', P .. 'r:' .. id, result)
    else
      redis.call('SET', P .. 'r:' .. id, result, 'EX', ttl)
    end
    local job_lane = f[7] or queue
    if job_lane == '~flow' then
      ended(load(id), at, ttl)
    else
      redis.call('PUBLISH', P .. 'done:' .. id, 'COMPLETED')
    end
    local holder = holder_of(job_lane)
    released[holder] = released[holder] or {}
    table.insert(released[holder], id)
    leaving[queue] = leaving[queue] or {}
    entering[queue] = entering[queue] or {}
    table.insert(leaving[queue], id)
    table.insert(entering[queue], f[5])
    table.insert(entering[queue], id)
    tally('tasks|' .. queue .. '|' .. f[6] .. '|completed', 1)
    tally('seconds|' .. f[6] .. '|count', 1)
    tally('seconds|' .. f[6] .. '|ms', duration)
    local bucket = '+Inf'
    for _, edge in ipairs(BUCKETS) do
      if duration <= edge then
        bucket = edge
        break
      end
    end
    tally('seconds|' .. f[6] .. '|' .. bucket, 1)
  elseif not (f[1] == 'COMPLETED' and f[2] == fence and f[3] == worker) then
    refused = refused + 1
  end
end

for holder, ids in pairs(released) do redis.call('ZREM', P .. 'leases:' .. holder, unpack(ids)) end
for queue, left in pairs(leaving) do
  redis.call('ZREM', P .. 'in:' .. queue .. ':EXECUTING', unpack(left))
  redis.call('ZADD', P .. 'in:' .. queue .. ':COMPLETED', unpack(entering[queue]))
end
for field, by in pairs(counters) do count(field, int(by)) end
if refused > 0 then count('stale', refused) end
return refused
