-- For wrk: ends with one line of figures, "bench" and then requests, requests/s,
-- p99 in ms, failed connects, reads, writes, time-outs, and answers of 400 and above.
-- In posts.lua the requests differ.

function done(summary, latency)
    local e = summary.errors
    io.write(string.format("bench %d %.0f %.2f %d %d %d %d %d\n",
        summary.requests, summary.requests / summary.duration * 1e6, latency:percentile(99) / 1000,
        e.connect, e.read, e.write, e.timeout, e.status))
end
