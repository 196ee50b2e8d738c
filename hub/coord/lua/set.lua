-- KEYS: values of the set, their ends. ARGV: key, value, life in ms, 1 to list the set afterwards.
-- Hash fields have no lifetime of their own before Redis 7.4, so a sorted set beside the hash holds
-- when each ends.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[3]), ARGV[1])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]
local rest = string.format('%.0f', math.max(1, tonumber(last) - now))
redis.call('PEXPIRE', KEYS[1], rest)
redis.call('PEXPIRE', KEYS[2], rest)
if ARGV[4] ~= '1' then return {} end
local ended = string.format('%.0f', now)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ended)) do redis.call('HDEL', KEYS[1], key) end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ended)
return redis.call('HGETALL', KEYS[1])
