#!lua flags=allow-oom
-- The live hellos of a channel, oldest first. A new poll ends the older one (R102); with no
-- milliseconds given it is not a new poll, but looks again, and learns whether it was superseded.
-- KEYS channel, live, poll, wake; ARGV token, milliseconds or nothing
if redis.call('HEXISTS', KEYS[1], 'gone') == 1 then return {'gone'} end
redis.set_repl(redis.REPL_NONE)
local before = redis.call('GET', KEYS[3])
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
  if before then redis.call('SPUBLISH', KEYS[4], 'p' .. ARGV[1]) end
elseif before and before ~= ARGV[1] then
  return {'superseded'}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local there = redis.call('HGETALL', KEYS[2])
local entries = {}
for i = 1, #there, 2 do
  if tonumber(string.sub(there[i + 1], 17, 30)) > now then entries[#entries + 1] = there[i + 1] end
end
table.sort(entries)
for i, entry in ipairs(entries) do entries[i] = string.sub(entry, 39) end
return {'live', entries}
