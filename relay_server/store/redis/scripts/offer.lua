#!lua flags=allow-oom
-- Let a hello be live (R91, R93 to R95). It is written to the memory of this one server only: the
-- append-only file and the replicas never hear of it.
-- KEYS channel, live, answer, wake of polls
-- ARGV hid, token, hello, milliseconds, most that are live, what each hello's wake begins with
if redis.call('HEXISTS', KEYS[1], 'gone') == 1 then return 'gone' end
if redis.call('EXISTS', KEYS[3]) == 1 then return 'answered' end
redis.set_repl(redis.REPL_NONE)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local turn = string.format('%010d%06d', tonumber(time[1]), tonumber(time[2]))
local there = redis.call('HGETALL', KEYS[2])
local count, oldest, oldest_turn, known = 0, false, false, false
for i = 1, #there, 2 do
  local entry = there[i + 1]
  if there[i] ~= ARGV[1] and tonumber(string.sub(entry, 17, 30)) <= now then
    redis.call('HDEL', KEYS[2], there[i])
  else
    count = count + 1
    local its_turn = string.sub(entry, 1, 16)
    if there[i] == ARGV[1] then known = entry end
    if not oldest or its_turn < oldest_turn then oldest, oldest_turn = there[i], its_turn end
  end
end
if known then
  -- R94: the set is the same, and so is the hello's age; only the request changes.
  turn = string.sub(known, 1, 16)
  redis.call('SPUBLISH', ARGV[6] .. ARGV[1], 'e' .. string.sub(known, 31, 38))
elseif count >= tonumber(ARGV[5]) then
  local evicted = redis.call('HGET', KEYS[2], oldest)
  redis.call('HDEL', KEYS[2], oldest)
  redis.call('SPUBLISH', ARGV[6] .. oldest, 'e' .. string.sub(evicted, 31, 38))
end
local life = tonumber(ARGV[4])
redis.call('HSET', KEYS[2], ARGV[1], turn .. string.format('%014.0f', now + life) .. ARGV[2] .. ARGV[3])
if redis.call('PTTL', KEYS[2]) < life then redis.call('PEXPIRE', KEYS[2], life) end
if not known then redis.call('SPUBLISH', KEYS[4], 's') end
return 'live'
