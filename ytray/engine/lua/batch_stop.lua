-- The jobs of a cancelled batch that are still to be stopped. One that another batch wants too goes on for that one.
-- ARGV: batch most
-- Returns the ids of jobs to be cancelled.

local batch, most = ARGV[1], ARGV[2]
local at, to_stop = now_ms(), {}
if redis.call('HGET', P .. 'b:' .. batch, 'state') ~= 'CANCELLED' then return to_stop end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'ba:' .. batch, most)) do
  local others = {}
  local number
  for other, place in string.gmatch(redis.call('HGET', P .. 'j:' .. id, 'items') or '', '(%S+):(%d+)') do
    if other == batch then number = place else others[#others + 1] = other .. ':' .. place end
  end
  if #others == 0 then
    to_stop[#to_stop + 1] = id
  else
    redis.call('HSET', P .. 'j:' .. id, 'items', table.concat(others, ' '))
    move_item(batch, number, 'x', at)
  end
end
end_batch(batch, at)
return to_stop
