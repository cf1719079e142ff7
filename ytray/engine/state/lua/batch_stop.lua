-- The jobs of a cancelled batch that are still to be stopped. One that another batch wants goes on for that one.
-- ARGV: batch most
-- Returns the ids of jobs to be cancelled.

local batch, most = ARGV[1], ARGV[2]
local at, to_stop = now_ms(), {}
if redis.call('HGET', P .. 'b:' .. batch, 'state') ~= 'CANCELLED' then return to_stop end
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'ba:' .. batch, most)) do
  local items = try(false, 'HGET', P .. 'j:' .. id, 'items')
  if not load(id) then
    strike(id, at)
    try(0, 'SREM', P .. 'ba:' .. batch, id)
  elseif is_wanted(id, items, batch) then
    for _, place in ipairs(places_of(id, items)) do
      if place.batch == batch then move_item(batch, place.number, 'x', at) end
    end
  else
    to_stop[#to_stop + 1] = id
  end
end
end_batch(batch, at)
return to_stop
