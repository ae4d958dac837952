#!lua flags=allow-oom
-- Delete what is over on one shelf, and bring back what lies further ahead than anything can.
-- KEYS due, ended, idle; ARGV what the keys of a ticket, an envelope and a channel begin with, now,
-- tombstone, latest expiry, life of an index, today, latest day, idle days, how many at most
local now, tombstone, latest = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local today, last_day, most, done = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[11]), 0
local function some(key, first, last)
  local found = redis.call('ZRANGEBYSCORE', key, first, last, 'LIMIT', 0, most)
  done = math.max(done, #found)
  return found
end
for _, id in ipairs(some(KEYS[1], '-inf', now)) do
  redis.call('UNLINK', ARGV[2] .. id)
  local expiry = redis.call('ZSCORE', KEYS[1], id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], expiry, id)
  redis.call('EXPIRE', KEYS[2], ARGV[7])
end
for _, id in ipairs(some(KEYS[2], '-inf', now - tombstone)) do
  redis.call('UNLINK', ARGV[1] .. id)
  redis.call('ZREM', KEYS[2], id)
end
for _, index in ipairs({KEYS[1], KEYS[2]}) do
  for _, id in ipairs(some(index, '(' .. ARGV[6], '+inf')) do
    redis.call('ZADD', index, latest, id)
    if redis.call('EXISTS', ARGV[1] .. id) == 1 then
      redis.call('HSET', ARGV[1] .. id, 'expiry', ARGV[6])
      redis.call('EXPIRE', ARGV[1] .. id, latest - now + tombstone)
      redis.call('EXPIRE', ARGV[2] .. id, latest - now)
    end
  end
end
for _, cid in ipairs(some(KEYS[3], '-inf', '(' .. (today - tonumber(ARGV[10])))) do
  redis.call('UNLINK', ARGV[3] .. cid)
  redis.call('ZREM', KEYS[3], cid)
end
for _, cid in ipairs(some(KEYS[3], '(' .. last_day, '+inf')) do
  redis.call('ZADD', KEYS[3], last_day, cid)
  if redis.call('EXISTS', ARGV[3] .. cid) == 1 then
    redis.call('HSET', ARGV[3] .. cid, 'polled_day', last_day)
  end
end
return {done, redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3])}
