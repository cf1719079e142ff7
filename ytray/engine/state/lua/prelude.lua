-- Put in front of every script here. KEYS[1] is the key prefix, "{namespace}:"; the braces keep all keys of one
-- system in one slot of a Redis Cluster. Times are milliseconds of the Redis server's own clock, so that no two
-- machines can disagree about when a lease ends.
--
--   j:<id>            hash    the job: state queue task created prio spec, and what has happened to it since
--   h:<id>            list    its history, one entry a move: "FROM TO at-ms {metadata}"
--   r:<id>            string  its result as JSON; expires
--   c:<id>            string  its checkpoint as JSON
--   u:<id>            hash    digest → JSON of a job that is to undo an outside effect, unless this job commits (unit.lua)
--   k:<id>            set     ids of its child jobs (the steps of a flow)
--   in:<queue>:<STATE> zset   ids by time of creation: listings and counts
--   task:<name> user:<id>  zset  the same, for listings by task and by user
--   ready:<lane>      zset    claimable jobs; the lowest score goes first. A lane is a queue, or ~flow
--   due               zset    delayed and retrying jobs, by the time they are to be queued
--   leases:<holder>   zset    jobs in flight, by the time their lease ends; a holder is "tracker" or "flows"
--   epoch:<holder>    string  the holder that is in office; an older one's claims are refused
--   secured           string  written before each WAIT for replicas (YTRAY_REDIS_REPLICAS) and each alert, and never read
--   schema migrating  strings the version of what is stored, or "restoring"; the process that brings it up to date
--   workers           zset    workers that have run jobs, by the time until which they count as active
--   breakers          hash    what is known of each dependency, as JSON (breaker.py)
--   gauges            hash    what the helpers of ytray.metrics set
--   code:<sha>        string  a task that a script defined, pickled; expires when none has needed it for a month (shipped.py)
--   code_renewed      string  there for a day once the code that jobs need was renewed
--   secret            string  of this system alone: what makes the ids of rows that nobody can compute (batch/rows.py)
--   keys              hash    API keys by id, as JSON, with the hash of their secret (api/keys.py)
--   rate:<key id>     hash    how many requests a key has left, and as of when; expires
--   stage:<id>:<call> list    parts of a large submission that is not yet committed; expires
--   dlq               zset    the dead-letter queue, by time of failure
--   idem:<user>:<key> string  "<digest of task and arguments> <job id>", user and key escaped; `idem:<user>:batch <key>` is a
--                     batch's. Also under the names without escapes, for versions before 2; j:<id> or b:<id> says whose it is
--   paused            set     queues that start nothing
--   m                 hash    counters of the metrics, by words that are escaped and joined by "|" (names.py)
--   wake:<holder>     list    at most one element: something can be claimed
--   ctl:<worker>      list    orders to a worker: "cancel <id>"; "drain <seconds>" until which it is to hand over
--   alerts announcing lists   ids that entered the dead-letter queue: not yet announced, and just being so
--   ended:<start>     channel told when jobs have ended, all whose ids start with these 22 bytes (those of one .map do):
--                     "STATE", and an id a line. waiting.py listens to it
--   done:<id>         the same of one job, for flow runners and for processes of an older version
--   events            stream of what happened lately, for who watches: "T FROM TO at-ms id id …", or of a running
--                     job "P at-ms id percent text"; cut off at the older end
--   l:<id>            list    what the job's attempts logged, one JSON object a line (joblog.py)
--   s:<key>           hash    a paid call in the spend journal (spend/journal.py); money is in micro-USD everywhere
--   sj:<id>           set     keys of the paid calls that a job made or took over
--   spends su:<user>  zset    keys of all paid calls, and of a user's, by the time of their intent
--   spent             hash    settled spending, by "user|<user>|<YYYY-MM>"; a job's and a flow's is in its j:<id>
--   held              hash    reserved by calls that are not settled: the same names, and "flow|<id>"
--   budgets           hash    limits: "user|<user>" for a month, "flow|<id>" altogether
--   busy:<model>      zset    calls that the model runs now, by the time after which they no longer count
--   limits:*                  of the library that counts requests and tokens a minute
--   b:<batch>         hash    a batch: state, options, and its items counted by state (batch/model.py)
--   bq:<batch>        list    its waiting rows, the next first: "number line job-id key given payload", tabs between
--   bi:<batch>        hash    number → "letter line job-id reused key" of each item; the letter is its state
--   bk:<batch>        hash    key → number
--   ba:<batch>        set     jobs of its active items
--   bf:<batch>        zset    numbers of the items that failed or were cancelled, by time
--   bd:<batch>        hash    "queue|task|n", "…|ms", "…|sq": steps that its items have done, their time and its square
--   bt:<task>         hash    the same of all batches of a task, and "items": how many items were done
--   bp:<batch>        hash    how many steps of each task its completed items took, where these are flows
--   be:<batch>        hash    number → error and row of an item that never got a job
--   bs:<batch>        hash    the part of a batch's input that was staged last, and what was answered; expires
--   it:<job>          string  the job that stands for a batch's row after this one was cancelled
--   batches ub:<user> zset    batches by time of creation
--   unwanted          set     jobs of rows that were edited meanwhile, to be cancelled unless another batch wants them
--   living            set     batches that the feeder looks at: not ended, or with jobs still to be stopped
--   notices           zset    "batch event try at": webhooks to be told, by the time when
--   endpoint:<digest> hash    a user's receiver of webhooks that failed last: failures in a row, and until when it waits
--   wk:<user>         zset    secrets that the user's webhooks are signed with, by when they end; +inf is the newest
--   rows:<user>       hash    "task key" of rows with a key of their own → the job id that they stand for; the task is escaped
--   autoscaled        string  there while Ray's autoscaler holds a demand of this system (autoscale.py)
--   schedules         hash    task → the due time that was fired for it last (schedule.py)
--   clock             string  the time of this server's clock as the tracker saw it last, in ms (clocks.py)
--   slots             hash    slots by queue that the cluster offers, as the tracker saw them last
--   nodes             hash    how many nodes are up and draining, as the tracker saw them last
--   drains            hash    what is known of each drained node's drain, as JSON by its id (nodes.py)
--   at_work           string  the tracker that is in office; expires when it says nothing for as long as a lease
--   flows_at_work     string  the time until which the flow runner counts as at work
--   probe             string  written to see whether Redis takes writes (api/readiness.py); expires
--   waits             hash    id of a task that waits for other jobs → JSON of where and for what (deadlock.py)
--   parts             hash    name → JSON of each part (system/parts.py) of the machine where `ytray up` runs; expires 60 s after
--                             its supervisor wrote last
--   part_restarts     hash    name → how often the supervisors of this system have started that part again, over all time

local P = KEYS[1]

-- How many milliseconds of waiting one step of priority is worth: ageing is built into the score, so a job of
-- priority 0 goes before a newer job of priority 9 once it has waited nine minutes longer.
local AGEING_MS = 60000
local CRASHES_ALLOWED = 3

local LEGAL = {
  PENDING = {QUEUED = true, CANCELLED = true},
  QUEUED = {EXECUTING = true, CANCELLED = true},
  EXECUTING = {COMPLETED = true, FAILED = true, QUEUED = true, CANCELLED = true},
  FAILED = {RETRYING = true},
  RETRYING = {QUEUED = true, CANCELLED = true},
  COMPLETED = {},
  CANCELLED = {},
}

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function int(number)
  return string.format('%.0f', number)
end

-- A word of a name that is joined of several: what could be taken for a separator is written as % and two digits, so
-- that no two tuples of words have one name (names.py).
local function escaped(text)
  return (string.gsub(text, '[%%|:@%z\1-\32\127]', function(sign) return string.format('%%%02X', string.byte(sign)) end))
end

-- A command on a key where somebody may have stored something else: that gives `otherwise`, so that one damaged key
-- does not stop a script that is about other jobs too.
local function try(otherwise, ...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  for _, damage in ipairs({'WRONGTYPE', 'not an integer', 'not a valid', 'would overflow'}) do
    if string.find(reply.err, damage, 1, true) then return otherwise end
  end
  return redis.call(...)  -- whatever else is wrong stops the script as ever
end

-- What was stored as JSON; nil where it is none.
local function decoded(json)
  local whole, value = pcall(cjson.decode, json)
  if whole and type(value) == 'table' then return value end
end

local function wake(holder)
  if try(1, 'LLEN', P .. 'wake:' .. holder) == 0 then
    redis.call('RPUSH', P .. 'wake:' .. holder, '1')
  end
end

local function holder_of(lane)
  if lane == '~flow' then return 'flows' end
  return 'tracker'
end

-- The fields that every move needs. `lane` is only stored where it differs from the queue. nil when there is no such
-- job, or what is stored of it cannot be read: then no script moves it.
local function load(id)
  local f = try({}, 'HMGET', P .. 'j:' .. id,
    'state', 'queue', 'created', 'task', 'prio', 'lane', 'fence', 'worker', 'retries', 'crashes', 'parent', 'items')
  local prio = tonumber(f[5])
  if not (LEGAL[f[1]] and f[2] and tonumber(f[3]) and f[4] and prio and tonumber(f[7] or 0)) then return nil end
  return {
    id = id, state = f[1], queue = f[2], created = f[3], task = f[4], prio = prio, lane = f[6] or f[2],
    fence = f[7] or '0', worker = f[8], retries = tonumber(f[9]) or 0, crashes = tonumber(f[10]) or 0, parent = f[11],
    items = f[12],
  }
end

-- The refusal to move a job that `load` did not find.
local function no_job(id)
  return redis.error_reply((redis.call('EXISTS', P .. 'j:' .. id) == 1 and 'DAMAGED ' or 'UNKNOWN ') .. id)
end

local EVENTS_KEPT = 20000
local IDS_IN_EVENT = 100

-- Tell who watches of jobs that made the same move: a few entries for many jobs, since this is on every job's way.
local function tell(from, to, at, ids)
  local head = 'T ' .. from .. ' ' .. to .. ' ' .. int(at) .. ' '
  for i = 1, #ids, IDS_IN_EVENT do
    local some = table.concat(ids, ' ', i, math.min(i + IDS_IN_EVENT - 1, #ids))
    try('', 'XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', head .. some)
  end
end

local GROUP = 22

-- Tell who waits for jobs that they have ended: one message for all whose ids start alike.
local function tell_ended(state, ids)
  local groups = {}
  for _, id in ipairs(ids) do
    local start = string.sub(id, 1, GROUP)
    groups[start] = groups[start] or {state}
    table.insert(groups[start], id)
  end
  for start, lines in pairs(groups) do redis.call('PUBLISH', P .. 'ended:' .. start, table.concat(lines, '\n')) end
end

local function illegal(job, to)
  return redis.error_reply('ILLEGAL ' .. job.id .. ' ' .. job.state .. ' ' .. to)
end

-- One move: the state, the listing it stands in and the history change together. The caller has checked LEGAL
-- where the move depends on input; a move that the scripts themselves could get wrong stops the script.
local function move(job, to, at, metadata)
  if not LEGAL[job.state][to] then error('illegal move of ' .. job.id .. ': ' .. job.state .. ' to ' .. to) end
  redis.call('HSET', P .. 'j:' .. job.id, 'state', to)
  redis.call('ZREM', P .. 'in:' .. job.queue .. ':' .. job.state, job.id)
  redis.call('ZADD', P .. 'in:' .. job.queue .. ':' .. to, job.created, job.id)
  try(0, 'RPUSH', P .. 'h:' .. job.id, job.state .. ' ' .. to .. ' ' .. int(at) .. ' ' .. (metadata or '{}'))
  tell(job.state, to, at, {job.id})
  job.state = to
end

-- The listings of many jobs that make the same move, changed in a few calls: add(queue, created, id), then flush(at),
-- which tells of the moves and returns how many jobs of each queue there were.
local function listing_moves(from, to)
  local leaving, entering, numbers = {}, {}, {}
  local moves = {}
  function moves.add(queue, created, id)
    if not leaving[queue] then leaving[queue], entering[queue] = {}, {} end
    local left, entered = leaving[queue], entering[queue]
    left[#left + 1] = id
    entered[#entered + 1] = created
    entered[#entered + 1] = id
  end
  function moves.flush(at)
    for queue, left in pairs(leaving) do
      tell(from, to, at, left)
      redis.call('ZREM', P .. 'in:' .. queue .. ':' .. from, unpack(left))
      redis.call('ZADD', P .. 'in:' .. queue .. ':' .. to, unpack(entering[queue]))
      numbers[queue] = #left
    end
    return numbers
  end
  return moves
end

local function enqueue(job, at)
  redis.call('ZADD', P .. 'ready:' .. job.lane, int(at - job.prio * AGEING_MS), job.id)
  redis.call('HSET', P .. 'j:' .. job.id, 'queued', int(at))
  wake(holder_of(job.lane))
end

local function count(field, by)
  try(0, 'HINCRBY', P .. 'm', field, by or 1)
end

local function release(job)
  redis.call('ZREM', P .. 'leases:' .. holder_of(job.lane), job.id)
end

-- The names under which a user's idempotency key is kept, of jobs (kind 'j:') or of batches ('b:'); and the one that
-- versions before 2 know, where that is another: it may be somebody else's, too.
local function keyed_names(kind, user, key)
  local of = kind == 'b:' and 'batch ' or ''
  local name, plain = P .. 'idem:' .. escaped(user) .. ':' .. of .. escaped(key), P .. 'idem:' .. user .. ':' .. of .. key
  return plain == name and {name} or {name, plain}
end

-- What a user's idempotency key stands for: the id, the digest that was kept with it, and its canonical one; or nil. `only`: by
-- this name alone.
local function find_keyed(kind, user, key, only)
  for _, name in ipairs(only and {only} or keyed_names(kind, user, key)) do
    local digest, id = string.match(redis.call('GET', name) or '', '^(%S+) (.+)$')
    if id then
      local f = redis.call('HMGET', P .. kind .. id, 'key', 'user', 'same')
      if f[1] == key and (f[2] or '') == user then return id, digest, f[3] end
    end
  end
end

-- The code that a script shipped is needed, in so many milliseconds at the latest: it is kept for a month beyond that.
-- Returns whether it is stored. Code from before version 2 has no end; it gets one.
local function keep_code(digest, wait)
  local left = redis.call('PTTL', P .. 'code:' .. digest)
  if left == -2 then return false end
  local wanted = 30 * 86400000 + wait
  if left < wanted - 86400000 then redis.call('PEXPIRE', P .. 'code:' .. digest, int(wanted)) end
  return true
end

local function keep_keyed(kind, user, key, digest, id)
  local names = keyed_names(kind, user, key)
  redis.call('SET', names[1], digest .. ' ' .. id)
  if names[2] then redis.call('SET', names[2], digest .. ' ' .. id, 'NX') end
end

local function drop_keyed(kind, user, key, id)
  for _, name in ipairs(keyed_names(kind, user, key)) do
    if string.match(redis.call('GET', name) or '', '^%S+ (.+)$') == id then redis.call('DEL', name) end
  end
end
