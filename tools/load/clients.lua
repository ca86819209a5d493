-- For wrk: ends with one line of figures, "load" and then requests, requests/s,
-- p99 in ms, failed connects, reads, writes, time-outs, and answers of 400 and above.
-- In posts.lua the requests differ.
--   wrk … URL -- [PAUSE [NAME]]
-- PAUSE is the time in ms that a connection waits before each request, NAME what
-- the names of POSTs begin with.
local name

function init(args)
    local pause = tonumber(args[1]) or 0
    name = args[2] or os.time()
    if pause > 0 then
        function delay() return pause end
    end
end

function named(count)
    return name .. "-" .. count
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format("load %d %.0f %.2f %d %d %d %d %d\n",
        summary.requests, summary.requests / summary.duration * 1e6, latency:percentile(99) / 1000,
        e.connect, e.read, e.write, e.timeout, e.status))
end
