-- For wrk: GETs the paths that a file lists, at random, or each of them once. Prints a line of JSON.
--
--   wrk -t 1 -c 16 -d 1s -s web.lua http://127.0.0.1:PORT -- FILE random|once
--
-- One thread; "once" stops early when all were asked for, and counts to that moment.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s, ns; } web_time; int clock_gettime(int clock, web_time *now);")

local function seconds()
  local now = ffi.new("web_time")
  ffi.C.clock_gettime(1, now)
  return tonumber(now.s) + tonumber(now.ns) * 1e-9
end

local thread_of_all
function setup(thread)
  thread_of_all = thread
end

local requests = {}
local at_random
function init(arguments)
  for path in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", "/" .. path)
  end
  at_random = arguments[2] == "random"
  math.randomseed(1)
end

asked, first, last = 0, 0, 0
function request()
  if at_random then
    return requests[math.random(#requests)]
  end
  if asked == 0 then
    first = seconds()
  elseif asked == #requests and last == 0 then
    last = seconds()
    wrk.thread:stop()
  end
  asked = asked + 1
  return requests[(asked - 1) % #requests + 1]
end

function done(summary, latency)
  local took = summary.duration / 1e6
  if thread_of_all:get("last") > 0 then
    took = thread_of_all:get("last") - thread_of_all:get("first")
  end
  local errors = summary.errors
  print(string.format(
    '{"rate": %.1f, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d}',
    summary.requests / took, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
