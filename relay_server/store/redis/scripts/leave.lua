#!lua flags=allow-oom
-- End a hello of one request (R92), or take the answer that it had.
-- KEYS live, answer, wake of polls; ARGV hid, token, whether it only looks
redis.set_repl(redis.REPL_NONE)
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and string.sub(entry, 31, 38) == ARGV[2] then
  if ARGV[3] == '1' then return 'live' end
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('SPUBLISH', KEYS[3], 's')
  return false
end
local answer = redis.call('GET', KEYS[2])
if answer and string.sub(answer, 1, 8) == ARGV[2] then
  -- It was delivered: that there was an answer is all that stays, for a minute.
  redis.call('SET', KEYS[2], '', 'KEEPTTL')
  return 'a' .. string.sub(answer, 9)
end
return false
