#!lua
-- Register a channel unless something is there (R81 to R83).
-- KEYS channel, idle; ARGV cid, read_hash, write_hash, today, life in seconds
local there = redis.call('HMGET', KEYS[1], 'read_hash', 'write_hash', 'gone')
if there[3] then return 'gone' end
if there[1] then
  redis.call('HSET', KEYS[1], 'read_hash', there[1])
  return there[1] == ARGV[2] and there[2] == ARGV[3] and 'same' or 'other'
end
redis.call('HSET', KEYS[1], 'read_hash', ARGV[2], 'write_hash', ARGV[3], 'polled_day', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 'stored'
