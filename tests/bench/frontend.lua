-- For wrk: POSTs entries of 128 bytes, each another one, and prints a line of JSON.

local thread_count = 0
function setup(thread)
  thread_count = thread_count + 1
  thread:set("name", string.format("%d-%d-", os.time(), thread_count))
end

local number = 0
function request()
  number = number + 1
  local entry = name .. number .. "-"
  return wrk.format("POST", "/add", nil, entry .. string.rep("x", 128 - #entry))
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"rate": %f, "count": %d, "errors": %d, "p50_us": %d, "p99_us": %d, "max_us": %d}',
    summary.requests / summary.duration * 1e6, summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
