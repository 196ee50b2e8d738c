-- KEYS: bucket, which holds when it is full again, in microseconds. ARGV: one take's worth of time in
-- microseconds, burst. Returns the microseconds until one is
-- there, or, negative, if one was taken, those until the bucket is full again.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
local over = full - now - ARGV[1] * ARGV[2]
if over > 0 then return over end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', string.format('%.0f', math.ceil((full - now) / 1000)))
return now - full
