-- Put rows of an input aside for a batch that is not there yet. What is never committed expires.
-- ARGV: batch part ttl user task salted, then line, job-id, key, given, payload, before, …   (six a row)
--   part    counts the calls for this batch: one that is repeated after a lost reply does nothing twice
--   before  the ids that the row's job had in versions before, the newest first: what was done then is done
--   salted  1: the batch runs again and again, so its rows are new each time
-- Returns a verdict for each row: 'ok', 'known' (it was done before), 'running' (it is being done now),
-- 'duplicate' (an earlier row has its key: left out), 'conflict <job>' (its key stands for another row: left out).
-- Errors: GONE when an earlier part has expired, or a replica that took over lacks it.

local batch, part, ttl, user, task, salted = unpack(ARGV, 1, 6)
local seen = redis.call('HMGET', P .. 'bs:' .. batch, 'part', 'reply')
if seen[1] == part then return cjson.decode(seen[2]) end
if tonumber(seen[1] or 0) ~= part - 1 then return redis.error_reply('GONE') end

local function is_there(id)
  return salted ~= '1' and redis.call('EXISTS', P .. 'j:' .. id, P .. 'it:' .. id) > 0
end

local function verdict_on(id, key, given)
  if redis.call('HEXISTS', P .. 'bk:' .. batch, key) == 1 then return 'duplicate' end
  if salted == '1' then return 'ok' end
  if given == '1' then
    local other = redis.call('HGET', P .. 'rows:' .. user, escaped(task) .. ' ' .. key)
    if other and other ~= id and redis.call('EXISTS', P .. 'j:' .. other) == 1 then return 'conflict ' .. other end
  end
  local state = try(false, 'HGET', P .. 'j:' .. (try(false, 'GET', P .. 'it:' .. id) or id), 'state')
  if state == 'COMPLETED' then return 'known' end
  return (state and state ~= 'FAILED' and state ~= 'CANCELLED') and 'running' or 'ok'
end

local verdicts = {}
local number = redis.call('HLEN', P .. 'bi:' .. batch)
for i = 7, #ARGV, 6 do
  local line, id, key, given, payload, before = unpack(ARGV, i, i + 5)
  if not is_there(id) then
    for earlier in string.gmatch(before, '%S+') do
      if is_there(earlier) then
        id = earlier
        break
      end
    end
  end
  local verdict = verdict_on(id, key, given)
  if verdict == 'ok' or verdict == 'known' or verdict == 'running' then
    number = number + 1
    redis.call('HSET', P .. 'bk:' .. batch, key, number)
    redis.call('HSET', P .. 'bi:' .. batch, number, 'w ' .. line .. ' ' .. id .. ' 0 ' .. key)
    redis.call('RPUSH', P .. 'bq:' .. batch, table.concat({number, line, id, key, given, payload}, '\t'))
  end
  verdicts[#verdicts + 1] = verdict
end
redis.call('HSET', P .. 'bs:' .. batch, 'part', part, 'reply', cjson.encode(verdicts))
for _, kind in ipairs({'bs:', 'bk:', 'bi:', 'bq:'}) do redis.call('EXPIRE', P .. kind .. batch, ttl) end
return verdicts
