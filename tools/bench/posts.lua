-- For wrk: POSTs, each with a name of its own.
dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "clients.lua")

local count, run = 0, os.time()
wrk.method, wrk.body = "POST", "a small form"

function request()
    count = count + 1
    wrk.headers["X-Bench-Name"] = run .. "-" .. count
    return wrk.format()
end
