#!lua flags=allow-oom
-- Give a live hello its one answer (R111 to R114).
-- KEYS live, answer, wake of the hello, wake of polls; ARGV hid, sealed, milliseconds
if redis.call('EXISTS', KEYS[2]) == 1 then return 'before' end
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 'gone' end
redis.set_repl(redis.REPL_NONE)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SPUBLISH', KEYS[4], 's')
if tonumber(string.sub(entry, 17, 30)) <= now then return 'gone' end
local token = string.sub(entry, 31, 38)
-- Nobody listens: the relay that had the request is gone.
if redis.call('SPUBLISH', KEYS[3], 'a' .. token .. ARGV[2]) == 0 then return 'gone' end
redis.call('SET', KEYS[2], token .. ARGV[2], 'PX', ARGV[3])
return 'delivered'
